import test from 'ava';
import { nodeScript, startContender } from './contender.ts';
import { openLeanClient } from './lean-client.ts';

const CALLS = 2_500;

function prefixed(message: string): Buffer {
  const body = Buffer.alloc(5 + message.length);
  body.writeUInt32BE(message.length, 1);
  body.write(message, 5);
  return body;
}

async function answersOf(path: string): Promise<ReadonlyMap<number, number>> {
  const command = nodeScript('rivals/grpcjs-echo.ts');
  const server = await startContender({ name: 'echo', command });
  const codes = new Map<number, number>();
  const isDone = Promise.withResolvers<void>();
  let answered = 0;
  const client = await openLeanClient({
    port: server.port,
    path,
    body: prefixed('hello'),
    connections: 2,
    onAnswer(code) {
      codes.set(code, (codes.get(code) ?? 0) + 1);
      answered += 1;
      if (answered === CALLS) isDone.resolve();
    },
  });
  let sent = 0;
  const send = (): void => {
    while (sent < CALLS && client.send(0)) sent += 1;
    client.flush();
    if (sent < CALLS) setImmediate(send);
  };
  send();
  await isDone.promise;
  client.close();
  await server.stop();
  return codes;
}

test('calls of a foreign server, more than its streams: each is answered once', async (t) => {
  t.deepEqual([...(await answersOf('/bench.Echo/Echo'))], [[0, CALLS]]);
});

test('a status that is not OK is told', async (t) => {
  t.deepEqual([...(await answersOf('/bench.Echo/Other'))], [[12, CALLS]]);
});
