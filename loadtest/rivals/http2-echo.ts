// A unary echo on node:http2 alone, without a gRPC library above it: what Node's own HTTP/2 leaves
// to whoever builds on it. Runs as a process of its own; prints 'listening PORT'.
import { constants, createServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { answerControlLines } from '../servers/control-lines.ts';

const HEADERS = {
  [constants.HTTP2_HEADER_STATUS]: 200,
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
};
const TRAILERS = { 'grpc-status': '0' };

let calls = 0;
const sessions = new Set<ServerHttp2Session>();
const server = createServer({ settings: { maxConcurrentStreams: 1_000 } });
server.on('session', (session) => {
  sessions.add(session);
  session.on('close', () => sessions.delete(session));
});
server.on('stream', (stream) => {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () => {
    stream.respond(HEADERS, { waitForTrailers: true });
    stream.on('wantTrailers', () => {
      calls += 1;
      stream.sendTrailers(TRAILERS);
    });
    const [first] = chunks;
    stream.end(chunks.length === 1 ? first : Buffer.concat(chunks));
  });
  stream.on('error', () => {});
});
server.listen(0, '127.0.0.1', () => {
  console.log(`listening ${(server.address() as AddressInfo).port}`);
});
answerControlLines({
  calls: () => calls,
  stop: () => {
    server.close();
    for (const session of sessions) session.destroy();
  },
});
