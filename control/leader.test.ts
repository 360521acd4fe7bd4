import test from 'ava';
import { Catalog, versionKey } from '../catalog/catalog.ts';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { unavailable } from '../common/status.ts';
import {
  ASSIGNMENT_SHARDS,
  LEADER_LEASE_MS,
  LEADER_RENEW_MS,
  NODE_TTL_MS,
  type Registry,
} from '../registry/registry.ts';
import { shardOf } from '../registry/shards.ts';
import { LeaderWorld } from '../test/support/leader-world.ts';
import { CLUSTER_TIMING, Leader, SINGLE_PROCESS_TIMING } from './leader.ts';
import { repositoryHooks } from './repository.ts';

const log = createLog({ role: 'test', level: 'silent' });

test('what is published is placed at once in a process of its own', async (t) => {
  const world = new LeaderWorld();
  const leader = world.leader('c1');
  await world.join('a');
  await world.settle();
  await world.publish('digits');
  await world.pass(200);
  t.deepEqual(await world.nodesOf('digits'), ['a']);
  t.is(leader.epoch(), 1);
  const revisions = await world.registry.shardRevisions();
  t.is(revisions.length, ASSIGNMENT_SHARDS);
  t.true(revisions.every(({ epoch }) => epoch === 1));
});

test('only shards that changed are written', async (t) => {
  const world = new LeaderWorld();
  world.leader('c1');
  await world.join('a');
  await world.publish('digits');
  await world.pass(200);
  const before = await world.registry.shardRevisions();
  await world.publish('iris');
  await world.pass(15_000);
  const after = await world.registry.shardRevisions();
  const changed = after.filter(({ revision }, at) => revision !== before[at]?.revision);
  t.deepEqual(
    changed.map(({ index }) => index),
    [shardOf('iris')],
  );
});

test("a dead node's models are elsewhere within its TTL", async (t) => {
  const world = new LeaderWorld();
  world.leader('c1');
  for (const id of ['a', 'b']) await world.join(id);
  for (let at = 0; at < 10; at += 1) await world.publish(`m${at}`);
  await world.pass(200);
  const nodes = await Promise.all(Array.from({ length: 10 }, (_, at) => world.nodesOf(`m${at}`)));
  t.true(nodes.some((ids) => ids?.[0] === 'a') && nodes.some((ids) => ids?.[0] === 'b'));
  world.live.delete('a');
  await world.pass(NODE_TTL_MS + 200);
  for (let at = 0; at < 10; at += 1) t.deepEqual(await world.nodesOf(`m${at}`), ['b']);
});

test('in a cluster a new leader waits for the nodes, and for many that seem lost', async (t) => {
  const world = new LeaderWorld();
  world.leader('c1', CLUSTER_TIMING);
  await world.join('a');
  await world.join('b');
  await world.publish('digits');
  await world.pass(CLUSTER_TIMING.settleMs - 100);
  t.deepEqual(await world.registry.shardRevisions(), []);
  await world.pass(300);
  const [home] = (await world.nodesOf('digits')) ?? [];
  t.truthy(home);
  world.live.delete(home ?? '');
  await world.pass(NODE_TTL_MS + 500);
  t.deepEqual(await world.nodesOf('digits'), [home]);
  await world.pass(CLUSTER_TIMING.massRemovalWaitMs);
  t.notDeepEqual(await world.nodesOf('digits'), [home]);
});

test('one of two leads; when it stops politely the other leads at once', async (t) => {
  const world = new LeaderWorld();
  const first = world.leader('c1');
  await world.settle();
  const second = world.leader('c2');
  await world.pass(5_000);
  t.is(first.epoch(), 1);
  t.is(second.epoch(), undefined);
  await first.stop();
  await world.settle();
  t.is(second.epoch(), 2);
  t.is(first.epoch(), undefined);
});

/** A registry that can be cut off, as a network does; what it holds lives on. */
function cuttable(registry: Registry): { readonly registry: Registry; isCut: boolean } {
  const link = { isCut: false, registry };
  link.registry = new Proxy(registry, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (!link.isCut) return Reflect.apply(value, target, args);
        return name === 'watch' ? () => {} : Promise.reject(unavailable('cut off'));
      };
    },
  });
  return link;
}

test('a leader cut off from the registry stops leading before another one starts', async (t) => {
  const world = new LeaderWorld();
  const link = cuttable(world.registry);
  const options = { ...world.parts(), log, timing: SINGLE_PROCESS_TIMING };
  const first = new Leader({ ...options, id: 'c1', registry: link.registry });
  first.start();
  await world.settle();
  const second = world.leader('c2');
  await world.join('a');
  await world.publish('digits');
  await world.pass(500);
  t.is(first.epoch(), 1);
  link.isCut = true;
  for (let passedMs = 0; passedMs < 2 * LEADER_LEASE_MS; passedMs += 100) {
    await world.pass(100);
    t.false(first.epoch() !== undefined && second.epoch() !== undefined);
  }
  t.is(second.epoch(), 2);
  link.isCut = false;
  await world.pass(2 * LEADER_LEASE_MS);
  t.is(second.epoch(), 2);
  t.is(first.epoch(), undefined);
});

test('a leader that slept through its lease writes nothing when it wakes', async (t) => {
  const world = new LeaderWorld();
  const asleep = new VirtualClock();
  const sleeping = new Catalog(world.store);
  const options = { registry: world.registry, log, timing: SINGLE_PROCESS_TIMING };
  const first = new Leader({ ...options, id: 'c1', catalog: sleeping, clock: asleep });
  first.start();
  await world.settle();
  t.is(first.epoch(), 1);
  const second = world.leader('c2');
  await world.join('a');
  await world.pass(LEADER_LEASE_MS + LEADER_RENEW_MS);
  t.is(second.epoch(), 2);
  // Its clock stood still, so it still believes; a change makes it plan under its old epoch.
  await sleeping.create('model', 'x', (await stray(world)).doc);
  asleep.advance(100);
  await world.settle();
  const shards = await world.registry.shardRevisions();
  t.true(shards.every(({ epoch }) => epoch === 2));
  t.is(first.epoch(), undefined);
});

async function stray(world: LeaderWorld) {
  await world.publish('stray');
  const entry = await world.catalog.require('model', 'stray');
  return { doc: { ...entry.doc, name: 'x' } };
}

test('a registry that lost everything is filled again from the catalog', async (t) => {
  const world = new LeaderWorld();
  const leader = world.leader('c1');
  await world.join('a');
  await world.publish('digits');
  await world.pass(200);
  await leader.stop();
  const other = new LeaderWorld();
  await other.join('b');
  const { registry, clock } = other;
  world.leader('c1', SINGLE_PROCESS_TIMING, { registry, clock });
  await other.pass(200);
  t.deepEqual(await other.nodesOf('digits'), ['b']);
  t.is((await other.shard('digits'))?.epoch, 2);
});

test('a version that a node put in quarantine is placed nowhere any more', async (t) => {
  const world = new LeaderWorld();
  world.leader('c1');
  await world.join('a');
  await world.join('b');
  await world.publish('digits');
  await world.pass(200);
  const [home = ''] = (await world.nodesOf('digits')) ?? [];
  const copy = {
    model: 'digits',
    version: 1,
    manifestSha256: '1'.padStart(64, '0'),
    state: 'QUARANTINED' as const,
    reason: 'its process died 3 times while it ran this version',
    memoryBytes: 0,
  };
  await world.registry.putCopies(home, home, [copy]);
  await world.pass(200);
  t.deepEqual(await world.nodesOf('digits'), []);
  const { doc } = await world.catalog.require('version', versionKey('digits', 1));
  t.like(doc, { state: 'QUARANTINED', reason: copy.reason });
});

test('deaths are added up; three are enough; a load by name begins anew', async (t) => {
  const world = new LeaderWorld();
  world.leader('c1');
  for (const id of ['a', 'b', 'c']) await world.join(id);
  await world.publish('digits');
  await world.pass(200);
  const died = {
    model: 'digits',
    version: 1,
    manifestSha256: '1'.padStart(64, '0'),
    ...({ state: 'FAILED', reason: 'ended', memoryBytes: 0, deaths: 1 } as const),
  };
  const state = async () =>
    (await world.catalog.require('version', versionKey('digits', 1))).doc.state;
  for (const id of ['a', 'b']) await world.registry.putCopies(id, id, [died]);
  await world.pass(200);
  t.is((await world.shard('digits'))?.entries[0]?.deaths, 2, 'nodes are told what is counted');
  t.is(await state(), 'READY');
  await world.registry.putCopies('c', 'c', [died]);
  await world.pass(200);
  t.is(await state(), 'QUARANTINED');
  t.deepEqual(await world.nodesOf('digits'), []);
  for (const id of ['a', 'b', 'c']) await world.registry.putCopies(id, id, []);
  await repositoryHooks(world.catalog, () => 0).loadModel('digits');
  await world.pass(200);
  t.is(await state(), 'READY');
  t.is((await world.nodesOf('digits'))?.length, 1);
});

test('a model whose documents are broken keeps its place, and the others are served', async (t) => {
  const world = new LeaderWorld();
  world.leader('c1');
  await world.join('a');
  await world.publish('broken');
  await world.pass(200);
  const found = await world.store.get('model', 'broken');
  await world.store.put('model', 'broken', { schema: 1 }, found?.revision ?? 0);
  await world.publish('digits');
  await world.pass(200);
  t.deepEqual(await world.nodesOf('digits'), ['a']);
  t.deepEqual(await world.nodesOf('broken'), ['a']);
});
