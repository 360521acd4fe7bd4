// What a leader does when the registry forgets, wholly or in part, or hints were lost.
import test from 'ava';
import type { VirtualClock } from '../common/clock.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import {
  ASSIGNMENT_SHARDS,
  LEADER_LEASE_MS,
  LEADER_RENEW_MS,
  type Registry,
} from '../registry/registry.ts';
import { LeaderWorld } from '../test/support/leader-world.ts';
import { mutedRegistry } from '../test/support/muted-registry.ts';
import { CLUSTER_TIMING, SINGLE_PROCESS_TIMING } from './leader.ts';
import { createRing } from './ring.ts';

/** A registry that can forget everything while its clients hold on to it. */
function forgetful(clock: VirtualClock): { readonly registry: Registry; forget(): void } {
  let current = new MemoryRegistry(clock);
  const listeners = new Set<Parameters<Registry['watch']>[0]>();
  const follow = (): void => {
    current.watch((change) => {
      for (const listener of listeners) listener(change);
    });
  };
  follow();
  const registry = new Proxy<Registry>(current, {
    get(_, name: keyof Registry) {
      if (name !== 'watch') return current[name].bind(current);
      return (listener: Parameters<Registry['watch']>[0]) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      };
    },
  });
  return {
    registry,
    forget: () => {
      current = new MemoryRegistry(clock);
      follow();
    },
  };
}

const [ringHome = '', ringNext = ''] = createRing(['a', 'b']).candidates('digits');

for (const isSame of [true, false]) {
  const who = isSame ? 'the same leader' : 'another leader';
  test(`a registry that lost everything moves nothing: ${who}`, async (t) => {
    const world = new LeaderWorld();
    const { registry, forget } = forgetful(world.clock);
    world.registry = registry;
    const first = world.leader('c1', CLUSTER_TIMING);
    await world.join(ringNext);
    await world.publish('digits');
    await world.pass(CLUSTER_TIMING.settleMs + 300);
    // The ring would have it on the other one, which came later.
    await world.join(ringHome);
    await world.pass(300);
    t.deepEqual(await world.nodesOf('digits'), [ringNext]);
    if (!isSame) await first.stop();
    forget();
    for (const id of [ringHome, ringNext]) await world.join(id);
    const held = {
      ...{ model: 'digits', version: 1, manifestSha256: '1'.padStart(64, '0') },
      ...{ state: 'READY' as const, reason: '', memoryBytes: 0 },
    };
    if (!isSame) {
      await registry.putCopies(ringNext, ringNext, [held]);
      world.leader('c2', CLUSTER_TIMING);
    }
    await world.pass(CLUSTER_TIMING.settleMs - 100);
    t.deepEqual(await registry.shardRevisions(), [], 'nothing is planned yet');
    await world.pass(3 * LEADER_RENEW_MS);
    t.deepEqual(await world.nodesOf('digits'), [ringNext]);
    t.is((await world.shard('digits'))?.epoch, 2);
  });
}

test('a leader that may have missed hints plans at once', async (t) => {
  const world = new LeaderWorld();
  const { registry, tellAll } = mutedRegistry(world.registry);
  const leader = world.leader('c1', SINGLE_PROCESS_TIMING, { registry });
  await world.publish('digits');
  await world.pass(200);
  t.deepEqual(await world.nodesOf('digits'), []);
  await world.join('a');
  await world.pass(100);
  t.deepEqual(await world.nodesOf('digits'), []);
  tellAll();
  await world.pass(100);
  t.deepEqual(await world.nodesOf('digits'), ['a']);
  // Another one hears that the lease may be free.
  const follower = world.leader('c2', SINGLE_PROCESS_TIMING, { registry });
  await world.settle();
  await leader.stop();
  await world.settle();
  t.is(follower.epoch(), undefined);
  tellAll();
  await world.settle();
  t.is(follower.epoch(), 2);
});

test('a registry that lost its shards, and not its leases, gets them again', async (t) => {
  const world = new LeaderWorld();
  const { registry, forget } = forgetful(world.clock);
  world.registry = registry;
  const leader = world.leader('c1');
  await world.join('a');
  await world.publish('digits');
  await world.pass(200);
  const lease = await registry.lease('leader');
  forget();
  if (lease !== undefined) await registry.acquireLease(lease, LEADER_LEASE_MS);
  await world.join('a');
  await world.pass(2 * LEADER_RENEW_MS);
  t.is(leader.epoch(), 1);
  t.deepEqual(await world.nodesOf('digits'), ['a']);
  t.is((await registry.shardRevisions()).length, ASSIGNMENT_SHARDS);
});
