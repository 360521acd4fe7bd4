import test from 'ava';
import { Catalog } from '../catalog/catalog.ts';
import { newModel } from '../catalog/models.ts';
import { type Publication, publishVersion, reserveVersion } from '../catalog/publish.ts';
import { createLog } from '../common/log.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import { ASSIGNMENT_SHARDS, REGISTRY_SCHEMA } from '../registry/registry.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { FALL_MS } from './load-book.ts';
import { LOADS_LOOK_MS, Planner } from './planner.ts';

const TTL_MS = 10 * FALL_MS;
const LOAD = { model: 'm', version: 1, callsPerSecond: 200, serviceMs: 5, queued: 0 };

/** Three nodes and a model that may have three copies. */
async function scene() {
  let now = 0;
  const clock = { nowMs: () => now, after: () => () => {} };
  const registry = new MemoryRegistry(clock);
  const catalog = new Catalog(new MemoryDocuments());
  const policy = { ...newModel('m', 0).policy, maxCopies: 3 };
  await catalog.create('model', 'm', newModel('m', 0, { policy }));
  await reserveVersion(catalog, { model: 'm', wanted: 1 }, 0);
  const version: Publication['version'] = {
    ...{ model: 'm', version: 1, state: 'READY', reason: '', manifestSha256: 'a'.repeat(64) },
    ...{ platform: 'onnx', inputs: [], outputs: [], sizeBytes: 10, metrics: {}, labels: {} },
    source: 'upload',
  };
  await publishVersion(catalog, { version, promotes: true }, 0);
  for (const id of ['a', 'b', 'c']) {
    const address = '127.0.0.1:1';
    const more = { address, zone: '', memoryLimitBytes: 0, state: 'SERVING' } as const;
    await registry.putNode({ schema: REGISTRY_SCHEMA, id, incarnation: 'i', ...more }, [], TTL_MS);
  }
  const planner = (): Planner =>
    new Planner({
      ...{ catalog, registry, log: createLog({ role: 'test', level: 'silent' }) },
      nowMs: () => now,
      holdsMassRemovals: false,
      put: async (shard) => ((await registry.putShard(shard)) ? 'ok' : 'refused'),
      onReport: () => {},
    });
  const all = Array.from({ length: ASSIGNMENT_SHARDS }, (_, index) => index);
  return {
    registry,
    planner,
    advance: (ms: number) => {
      now += ms;
    },
    async copies(): Promise<number | undefined> {
      const entries = (await registry.shards(all)).flatMap((shard) => shard.entries);
      return entries.find(({ model }) => model === 'm')?.nodes.length;
    },
  };
}

test('what nodes say of the load decides how many copies are assigned', async (t) => {
  const { registry, planner, advance, copies } = await scene();
  const first = planner();
  t.is(await first.run({ epoch: 1, isConfirmed: true }), 'done');
  t.is(await copies(), 1);
  await registry.putLoads('a', 'i', [LOAD]);
  advance(LOADS_LOOK_MS);
  await first.run({ epoch: 1, isConfirmed: true });
  t.is(await copies(), 2);
  // Another leader: the nodes are as good as silent for it, and nothing is taken away.
  await registry.putLoads('a', 'i', []);
  const second = planner();
  for (let at = 0; at < FALL_MS; at += FALL_MS / 10) {
    await second.run({ epoch: 2, isConfirmed: true });
    t.is(await copies(), 2);
    advance(FALL_MS / 10);
  }
  await second.run({ epoch: 2, isConfirmed: true });
  t.is(await copies(), 1);
});

test('a registry that does not tell the load is planned without it', async (t) => {
  const { registry, planner, copies } = await scene();
  registry.loadsOf = async () => {
    throw new Error('away');
  };
  t.is(await planner().run({ epoch: 1, isConfirmed: true }), 'done');
  t.is(await copies(), 1);
});
