// node:http2's echo in a process of its own: bytes that are out of order can end it (an assertion
// of its native part fails), and must not end the fuzzing with it.
import http2 from 'node:http2';

/** What EchoHandler does. */
function answer(stream: http2.ServerHttp2Stream): void {
  stream.on('error', () => {});
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  const head = { ':status': 200, 'content-type': 'application/grpc' };
  stream.respond(head, { waitForTrailers: true });
  if (stream.endAfterHeaders) stream.end('hello');
  else stream.pipe(stream);
}

const server = http2.createServer();
server.on('sessionError', () => {});
server.on('stream', answer);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.(address !== null && typeof address === 'object' ? address.port : 0);
});
process.on('disconnect', () => process.exit(0));
