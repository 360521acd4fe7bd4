import test from 'ava';
import { Catalog, versionKey } from '../catalog/catalog.ts';
import { publishVersion, reserveVersion } from '../catalog/publish.ts';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { unavailable } from '../common/status.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentShard,
  HEARTBEAT_MS,
  LEADER_LEASE_MS,
  LEADER_RENEW_MS,
  NODE_TTL_MS,
  type NodeRecord,
  REGISTRY_SCHEMA,
  type Registry,
} from '../registry/registry.ts';
import { shardOf } from '../registry/shards.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { CLUSTER_TIMING, Leader, SINGLE_PROCESS_TIMING } from './leader.ts';
import type { LeaderConfig } from './leader-state.ts';
import { createRing } from './ring.ts';

const log = createLog({ role: 'test', level: 'silent' });

class World {
  readonly clock = new VirtualClock();
  registry: Registry = new MemoryRegistry(this.clock);
  readonly store = new MemoryDocuments();
  readonly catalog = new Catalog(this.store);
  readonly live = new Set<string>();

  leader(id: string, timing: LeaderConfig = SINGLE_PROCESS_TIMING, given: Partial<World> = {}) {
    const { catalog, registry, clock } = { ...this.parts(), ...given };
    const leader = new Leader({ id, catalog, registry, clock, log, timing });
    leader.start();
    return leader;
  }

  parts(): Pick<World, 'catalog' | 'registry' | 'clock'> {
    return { catalog: this.catalog, registry: this.registry, clock: this.clock };
  }

  async join(id: string): Promise<void> {
    this.live.add(id);
    const node: NodeRecord = {
      schema: REGISTRY_SCHEMA,
      id,
      incarnation: id,
      address: '127.0.0.1:1',
      state: 'SERVING',
      zone: '',
      memoryLimitBytes: 0,
    };
    await this.registry.putNode(node, [], NODE_TTL_MS);
  }

  async publish(model: string): Promise<void> {
    const version = await reserveVersion(this.catalog, { model, wanted: 0 }, 0);
    const doc = {
      model,
      version,
      state: 'READY' as const,
      reason: '',
      manifestSha256: String(version).padStart(64, '0'),
      platform: 'onnxruntime_onnx',
      inputs: [],
      outputs: [],
      sizeBytes: 100,
      metrics: {},
      labels: {},
      source: 'upload',
    };
    await publishVersion(this.catalog, { version: doc, promotes: true }, 0);
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 10; turn += 1) await new Promise((done) => setImmediate(done));
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(Math.min(100, left));
      await this.settle();
      if (this.clock.nowMs() % HEARTBEAT_MS >= 100) continue;
      for (const id of this.live) await this.registry.heartbeat(id, id, NODE_TTL_MS);
    }
  }

  async shard(model: string): Promise<AssignmentShard | undefined> {
    return (await this.registry.shards([shardOf(model)]))[0];
  }

  async nodesOf(model: string): Promise<readonly string[] | undefined> {
    return (await this.shard(model))?.entries.find((entry) => entry.model === model)?.nodes;
  }
}

test('what is published is placed at once in a process of its own', async (t) => {
  const world = new World();
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
  const world = new World();
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
  const world = new World();
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
  const world = new World();
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
  const world = new World();
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
  const world = new World();
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
  const world = new World();
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

async function stray(world: World) {
  await world.publish('stray');
  const entry = await world.catalog.require('model', 'stray');
  return { doc: { ...entry.doc, name: 'x' } };
}

test('a registry that lost everything is filled again from the catalog', async (t) => {
  const world = new World();
  const leader = world.leader('c1');
  await world.join('a');
  await world.publish('digits');
  await world.pass(200);
  await leader.stop();
  const other = new World();
  await other.join('b');
  const { registry, clock } = other;
  world.leader('c1', SINGLE_PROCESS_TIMING, { registry, clock });
  await other.pass(200);
  t.deepEqual(await other.nodesOf('digits'), ['b']);
  t.is((await other.shard('digits'))?.epoch, 2);
});

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
    const world = new World();
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

test('a registry that lost its shards, and not its leases, gets them again', async (t) => {
  const world = new World();
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

test('a version that a node put in quarantine is placed nowhere any more', async (t) => {
  const world = new World();
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

test('a model whose documents are broken keeps its place, and the others are served', async (t) => {
  const world = new World();
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
