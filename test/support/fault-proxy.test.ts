import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { type FaultProxy, faultProxy, losses } from './fault-proxy.ts';

/** A server that echoes, a proxy before it, and a client through that. */
async function echoing(t: ExecutionContext): Promise<{ proxy: FaultProxy; client: Socket }> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const proxy = await faultProxy(port, { random: () => 0 });
  const client = connect(proxy.port, '127.0.0.1');
  client.on('error', () => undefined);
  t.teardown(async () => {
    client.destroy();
    await proxy.end();
    server.close();
  });
  await once(client, 'connect');
  return { proxy, client };
}

async function says(client: Socket, text: string): Promise<string> {
  let heard = '';
  const whole = new Promise<void>((resolve) => {
    client.on('data', (chunk: Buffer) => {
      heard += chunk.toString();
      if (heard.length >= text.length) resolve();
    });
  });
  client.write(text);
  await whole;
  return heard;
}

test('bytes pass as they are, in both directions', async (t) => {
  const { client } = await echoing(t);
  t.is(await says(client, 'a'.repeat(1_000_000)), 'a'.repeat(1_000_000));
});

for (const direction of ['up', 'down'] as const) {
  test(`what vanishes ${direction} comes, in order, when all is well again`, async (t) => {
    const { proxy, client } = await echoing(t);
    proxy.set({ silent: [direction] });
    const heard = says(client, 'one');
    client.write('two');
    const isSilent = await Promise.race([
      heard.then(() => false),
      new Promise((resolve) => setTimeout(() => resolve(true), 50)),
    ]);
    t.true(isSilent);
    proxy.set({});
    t.regex(await heard, /^one/);
  });
}

test('held chunks do not overtake each other', async (t) => {
  const { proxy, client } = await echoing(t);
  const holds = [60, 0, 30, 0, 0, 0, 0, 0];
  proxy.set({ holdMs: () => holds.shift() ?? 0 });
  const heard = says(client, 'first');
  const startMs = performance.now();
  client.write('second');
  t.regex(await heard, /^first/);
  t.true(performance.now() - startMs >= 50);
});

test('a reset ends both sides, and is counted', async (t) => {
  const { proxy, client } = await echoing(t);
  const closed = new Promise((resolve) => client.once('close', resolve));
  proxy.set({ resetsPerSecond: 1 });
  await closed;
  t.is(proxy.resets, 1);
});

test('an end passes', async (t) => {
  const { client } = await echoing(t);
  client.end();
  await once(client, 'close');
  t.pass();
});

test('losses: longer holds are rarer, by their share', (t) => {
  const draws = [0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.9];
  const hold = losses(200, 0.3, () => draws.shift() ?? 0.9);
  t.deepEqual([hold(), hold(), hold()], [0, 400, 1_600]);
  t.is(losses(200, 0.3, () => 0, 3)(), 1_600);
});
