import test from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { MemoryRegistry } from './memory.ts';
import { registryContract } from './registry.contract.ts';
import { REGISTRY_SCHEMA, type RegistryChange } from './registry.ts';

registryContract('memory', async () => {
  const clock = new VirtualClock();
  const registry = new MemoryRegistry(clock);
  return {
    registry,
    other: registry,
    advance: async (byMs) => clock.advance(byMs),
    shortMs: 2_000,
    roomyMs: 2_000,
    end: () => registry.close(),
  };
});

test('expiry is told without anybody asking', async (t) => {
  const clock = new VirtualClock();
  const registry = new MemoryRegistry(clock);
  const node = { schema: REGISTRY_SCHEMA, id: 'n1', incarnation: 'i', address: '', zone: '' };
  await registry.putNode({ ...node, state: 'SERVING', memoryLimitBytes: 0 }, [], 2_000);
  await registry.acquireLease({ name: 'leader', owner: 'a', epoch: 1 }, 9_000);
  await registry.acquireLease({ name: 'leader', owner: 'a', epoch: 1 }, 3_000);
  const seen: RegistryChange[] = [];
  registry.watch((change) => seen.push(change));
  clock.advance(1_000);
  await registry.heartbeat('n1', 'i', 4_000);
  clock.advance(1_999);
  await Promise.resolve();
  t.deepEqual(seen, []);
  clock.advance(1);
  await Promise.resolve();
  t.deepEqual(seen, [{ kind: 'lease', name: 'leader' }]);
  clock.advance(2_000);
  await Promise.resolve();
  t.deepEqual(seen.at(-1), { kind: 'nodes' });
  await registry.close();
});
