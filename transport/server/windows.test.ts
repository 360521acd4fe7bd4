// Calls of one connection beside others that nobody takes.
import '../../test/support/poison-reads.ts';
import test from 'ava';
import { createLog } from '../../common/log.ts';
import type { Backend, MethodKind, StreamCall } from '../backend.ts';
import { connectGrpc } from '../client/client.ts';
import { invokeStream, invokeUnary } from '../invoke.ts';
import { serveGrpc } from './serve-grpc.ts';

const ECHO = '/a.B/Echo';
const SINK = '/a.B/Sink';
const METHODS: ReadonlyMap<string, MethodKind> = new Map([
  [ECHO, 'unary'],
  [SINK, 'client_stream'],
]);
const UPLOADS = 24;
const MESSAGE_BYTES = 1024 * 1024;

/** Takes nothing of a stream but its first message. */
class SlowCallee implements Backend {
  readonly methods = METHODS;
  readonly streams: StreamCall[] = [];
  readonly begun = Promise.withResolvers<void>();

  unary(call: Parameters<Backend['unary']>[0]): void {
    call.succeed(call.request);
  }

  stream(call: StreamCall): void {
    call.onMessage = () => {
      call.pause();
      this.streams.push(call);
      if (this.streams.length === UPLOADS) this.begun.resolve();
    };
  }
}

async function* endless() {
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve));
    yield Buffer.alloc(MESSAGE_BYTES);
  }
}

test('uploads that nobody takes keep no other call of the connection waiting', async (t) => {
  const callee = new SlowCallee();
  const log = createLog({ role: 'test', level: 'silent' });
  const server = await serveGrpc({ backend: callee, host: '127.0.0.1', port: 0, log });
  const { address } = server;
  const client = connectGrpc({ address, methods: METHODS, maxConnections: 1 });
  const uploads = Array.from({ length: UPLOADS }, () => {
    const answers = invokeStream(client, SINK, endless());
    return answers.next().catch(() => undefined);
  });
  await callee.begun.promise;
  for (const sizeBytes of [10, 3 * MESSAGE_BYTES]) {
    const request = Buffer.alloc(sizeBytes, 7);
    const { response } = await invokeUnary(client, ECHO, request, { timeoutMs: 20_000 });
    t.true(request.equals(response));
  }
  t.is(client.held.connections, 1);
  t.is(callee.streams.length, UPLOADS);
  client.close();
  await Promise.all(uploads);
  server.stop();
});
