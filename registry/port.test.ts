import { MessageChannel, Worker } from 'node:worker_threads';
import test from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { Code } from '../common/status.ts';
import { MemoryRegistry } from './memory.ts';
import { registryOverPort, serveRegistry } from './port.ts';
import { registryContract } from './registry.contract.ts';

registryContract('over a port', async () => {
  const clock = new VirtualClock();
  const registry = new MemoryRegistry(clock);
  const [one, two] = [new MessageChannel(), new MessageChannel()];
  serveRegistry(registry, one.port1);
  serveRegistry(registry, two.port1);
  const [first, second] = [registryOverPort(one.port2), registryOverPort(two.port2)];
  return {
    registry: first,
    other: second,
    advance: async (byMs) => clock.advance(byMs),
    shortMs: 2_000,
    roomyMs: 2_000,
    async end() {
      await first.close();
      await second.close();
      await registry.close();
    },
  };
});

test('a closed client leaves the registry and other clients as they are', async (t) => {
  const registry = new MemoryRegistry(new VirtualClock());
  const channel = new MessageChannel();
  serveRegistry(registry, channel.port1);
  const client = registryOverPort(channel.port2);
  await client.announce('jobs');
  await client.close();
  t.deepEqual(await registry.nodes(), []);
});

test('calls in flight fail with UNAVAILABLE when the serving side goes', async (t) => {
  const channel = new MessageChannel();
  // Nobody serves: the call stays in flight until the port closes.
  const client = registryOverPort(channel.port2);
  const call = client.nodes();
  channel.port1.close();
  await t.throwsAsync(call, { code: Code.UNAVAILABLE });
  await t.throwsAsync(client.announce('jobs'), { code: Code.UNAVAILABLE });
});

test('a worker thread uses the registry of the main thread, and can end', async (t) => {
  const registry = new MemoryRegistry(new VirtualClock());
  const channel = new MessageChannel();
  serveRegistry(registry, channel.port1);
  const source = `
    import { workerData } from 'node:worker_threads';
    const { registryOverPort } = await import(${JSON.stringify(import.meta.resolve('./port.ts'))});
    const registry = registryOverPort(workerData.port);
    await registry.acquireLease({ name: 'leader', owner: 'worker', epoch: 4 }, 1000);
  `;
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  const options = { workerData: { port: channel.port2 }, transferList: [channel.port2] };
  const worker = new Worker(url, options);
  const code = await new Promise((resolve, reject) => {
    worker.on('exit', resolve);
    worker.on('error', reject);
  });
  t.is(code, 0);
  t.deepEqual(await registry.lease('leader'), { name: 'leader', owner: 'worker', epoch: 4 });
});
