// A node of a cluster: real models from a blob store, a registry in memory, time that is told to
// move.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError, unavailable } from '../common/status.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import { HEARTBEAT_MS, NODE_TTL_MS, REGISTRY_SCHEMA, type Registry } from '../registry/registry.ts';
import { shardOf } from '../registry/shards.ts';
import type { BlobReader } from '../stores/blobs/blobs.ts';
import { undeclaredShapeModel } from '../test/support/foreign-onnx.ts';
import { fp32 } from '../test/support/infer-requests.ts';
import { call, floats, infer } from '../test/support/inference-client.ts';
import { mutedRegistry } from '../test/support/muted-registry.ts';
import { ONES, oneNode, untilTold } from '../test/support/one-node.ts';
import { assign, copy, entry, node as nodeRecord, until } from '../test/support/small-cluster.ts';
import { addModel, slowModel } from '../test/support/tiny-onnx.ts';

test('a node tells of itself, loads what it is assigned, and serves it', async (t) => {
  const all = await oneNode(t);
  const digits = await all.publish('add', 4, addModel(2));
  await assign(all.registry, [digits, entry('elsewhere', 1, { nodes: ['n2'] })]);
  const { backend, health, waitingFor } = await all.start();
  await untilTold(all, 'add/4 READY');
  t.like((await all.registry.nodes())[0], {
    id: 'n1',
    incarnation: 'n1-1',
    address: 'localhost:8011',
    state: 'SERVING',
  });
  t.deepEqual(waitingFor(), []);
  t.is(health.isServing(''), true);
  const answer = await infer(backend, 'add', ONES);
  t.deepEqual(floats(answer), [11, 22]);
  t.is(answer.modelVersion, '4');
  const [copyTold] = (await all.registry.copies()).get('n1') ?? [];
  t.true((copyTold?.memoryBytes ?? 0) > 0);
  const refused = await call(backend, 'repositoryModelLoad', { modelName: 'add' }).catch((e) => e);
  t.is(refused.code, Code.FAILED_PRECONDITION);
  t.regex(refused.message, /assigned by the cluster's leader/);
});

test('an output whose shape the file leaves out has the rank that the import found', async (t) => {
  const all = await oneNode(t);
  const outputs = [{ name: 'y', datatype: 'FP32' as const, shape: [-1, -1] }];
  await assign(all.registry, [await all.publish('neg', 1, undeclaredShapeModel(), { outputs })]);
  const { backend } = await all.start();
  await untilTold(all, 'neg/1 READY');
  t.deepEqual(floats(await infer(backend, 'neg', [fp32('x', [1, 2], [1, -2])])), [-1, 2]);
});

test('a node that has nothing yet, and one whose models still load, are not ready', async (t) => {
  const all = await oneNode(t);
  const digits = await all.publish('add', 1, addModel(2));
  await assign(all.registry, [digits]);
  const { health, waitingFor } = await all.start();
  t.deepEqual(waitingFor(), ['model add version 1']);
  t.is(health.isServing(''), false);
  await until('ready', () => health.isServing('') === true);
  t.deepEqual(waitingFor(), []);
});

test('a new version takes over when it is READY; a broken one never does', async (t) => {
  const all = await oneNode(t);
  const one = await all.publish('add', 1, addModel(2));
  await assign(all.registry, [one]);
  const { backend } = await all.start();
  await untilTold(all, 'add/1 READY');
  const broken = await all.publish('add', 2, addModel(2).subarray(0, 40));
  await assign(all.registry, [broken], 2);
  await untilTold(all, 'add/1 READY', 'add/2 FAILED');
  t.is((await infer(backend, 'add', ONES)).modelVersion, '1');
  const why = await infer(backend, 'add', ONES, { version: '2' }).catch((error) => error);
  t.is(why.code, Code.UNAVAILABLE);
  t.regex(why.message, /version 2 is not at ready state \(FAILED: /);

  const good = await all.publish('add', 3, addModel(2));
  await assign(all.registry, [good], 3);
  await until('version 3', async () => (await all.told()).includes('add/3 READY'));
  all.clock.advance(1_000);
  await untilTold(all, 'add/3 READY');
  t.is((await infer(backend, 'add', ONES)).modelVersion, '3');
});

test('files that are not what the manifest says are tried again, then FAILED', async (t) => {
  const all = await oneNode(t);
  const one = await all.publish('add', 1, addModel(2));
  const wrong = { ...one, version: 9 };
  await assign(all.registry, [wrong, entry('gone', 1, { nodes: ['n1'] })]);
  await all.start();
  await untilTold(all, 'add/9 FAILED', 'gone/1 FAILED');
  const reasons = ((await all.registry.copies()).get('n1') ?? []).map(({ reason }) => reason);
  t.regex(reasons.join('\n'), /is of 'add' version 1, the assignment gives it to 'add' version 9/);
  t.regex(reasons.join('\n'), /no blob|not there|NOT_FOUND|unknown/i);
  all.clock.advance(1_000);
  await untilTold(all, 'add/9 LOADING', 'gone/1 LOADING');
  await untilTold(all, 'add/9 FAILED', 'gone/1 FAILED');
});

test('a copy that moves away stays until its new home is READY', async (t) => {
  const all = await oneNode(t);
  const one = await all.publish('add', 1, addModel(2));
  await assign(all.registry, [one]);
  const { backend } = await all.start();
  await untilTold(all, 'add/1 READY');
  await all.registry.putNode(nodeRecord('n2'), [], 1e9);
  await assign(all.registry, [{ ...one, nodes: ['n2'] }], 2);
  all.clock.advance(1_500);
  t.deepEqual(floats(await infer(backend, 'add', ONES)), [11, 22]);
  const arrived = copy('add', 1, 'READY', { manifestSha256: one.manifestSha256 });
  await all.registry.putCopies('n2', 'n2-1', [arrived]);
  // Its end comes a moment after it has heard of the other copy.
  await until('unloaded', async () => {
    all.clock.advance(100);
    return (await all.told()).length === 0;
  });
  const gone = await infer(backend, 'add', ONES).catch((error) => error);
  t.is(gone.code, Code.NOT_FOUND);
});

test('a node that may have missed hints looks at the whole assignment at once', async (t) => {
  const all = await oneNode(t);
  const { registry, tellAll } = mutedRegistry(all.registry);
  await all.start(registry);
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  await assign(all.registry, [await all.publish('add', 1, addModel(2))]);
  for (let turn = 0; turn < 20; turn += 1) await settle();
  t.deepEqual(await all.told(), []);
  tellAll();
  await untilTold(all, 'add/1 READY');
});

test('a node reads a shard that changes for others no more than once', async (t) => {
  const all = await oneNode(t);
  let reads = 0;
  const registry = new Proxy<Registry>(all.registry, {
    get(target, name: keyof Registry) {
      if (name === 'shards') reads += 1;
      return target[name].bind(target);
    },
  });
  const one = await all.publish('add', 1, addModel(2));
  await assign(all.registry, [one]);
  await all.start(registry);
  await untilTold(all, 'add/1 READY');
  const index = shardOf('add');
  const put = async (epoch: number, revision: number, nodeIds: readonly string[]) => {
    const entries = nodeIds.includes('n1') ? [] : [one];
    const from = { index, epoch: 1, revision: revision - 1 };
    const to = { index, epoch, revision };
    await all.registry.putShard({ schema: 1, ...to, entries }, { from, to, nodeIds });
  };
  const before = reads;
  await put(1, 2, ['n2']);
  await put(1, 3, []);
  t.deepEqual(await all.told(), ['add/1 READY']);
  t.is(reads, before);
  await put(1, 4, ['n1']);
  await until('unloaded', async () => {
    all.clock.advance(100);
    return (await all.told()).length === 0;
  });
  t.is(reads, before + 1);
});

test('a registry that lost what a node said of its copies last is told again', async (t) => {
  const all = await oneNode(t);
  const { registry, tellAll } = mutedRegistry(all.registry);
  await assign(all.registry, [await all.publish('add', 1, addModel(2))]);
  await all.start(registry);
  await untilTold(all, 'add/1 READY');
  const [known] = await all.registry.nodes();
  await all.registry.putCopies(known?.id ?? '', known?.incarnation ?? '', []);
  t.deepEqual(await all.told(), []);
  tellAll();
  await untilTold(all, 'add/1 READY');
});

test('one heartbeat that waited in vain does not make the cluster forget a node', async (t) => {
  const all = await oneNode(t);
  const silentMs = 1_250;
  let isSilent = false;
  const slow = new Proxy<Registry>(all.registry, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      if (!isSilent || name !== 'heartbeat') return member.bind(target);
      isSilent = false;
      return () =>
        new Promise((_, reject) => {
          all.clock.after(silentMs, () => reject(unavailable('silent')));
        });
    },
  });
  await all.start(slow);
  const stepMs = 10;
  const passes = async (durationMs: number): Promise<void> => {
    for (let passedMs = 0; passedMs < durationMs; passedMs += stepMs) {
      all.clock.advance(stepMs);
      await new Promise((resolve) => setImmediate(resolve));
      t.is((await all.registry.nodes()).length, 1);
    }
  };
  await passes(HEARTBEAT_MS);
  isSilent = true;
  await passes(silentMs + NODE_TTL_MS);
  t.false(isSilent);
});

test('without the registry a node serves on, and comes back by itself', async (t) => {
  const all = await oneNode(t);
  await assign(all.registry, [await all.publish('add', 1, addModel(2))]);
  let isAway = false;
  const flaky = new Proxy<Registry>(all.registry, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      if (name === 'watch') return member.bind(target);
      return (...args: unknown[]) =>
        isAway ? Promise.reject(unavailable('no connection')) : member.apply(target, args);
    },
  });
  const { backend } = await all.start(flaky);
  await untilTold(all, 'add/1 READY');
  isAway = true;
  // Longer than its time to live: the cluster has forgotten it.
  for (let beat = 0; beat < 6; beat += 1) {
    all.clock.advance(HEARTBEAT_MS);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.true(6 * HEARTBEAT_MS > NODE_TTL_MS);
  t.deepEqual(await all.registry.nodes(), []);
  t.deepEqual(floats(await infer(backend, 'add', ONES)), [11, 22]);
  isAway = false;
  await until('it is back', async () => {
    all.clock.advance(HEARTBEAT_MS);
    return (await all.registry.nodes()).length === 1;
  });
  t.deepEqual(await all.told(), ['add/1 READY']);
});

test('a node that does not hear the registry is not counted alive by it', async (t) => {
  const all = await oneNode(t);
  let isDeaf = false;
  const oneWay = new Proxy<Registry>(all.registry, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      if (name === 'watch') return member.bind(target);
      return async (...args: unknown[]) => {
        const answer: unknown = await member.apply(target, args);
        if (isDeaf) throw unavailable('no answer');
        return answer;
      };
    },
  });
  await all.start(oneWay);
  await until('it is there', async () => (await all.registry.nodes()).length === 1);
  isDeaf = true;
  for (let beat = 0; beat < 6; beat += 1) {
    all.clock.advance(HEARTBEAT_MS);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.deepEqual(await all.registry.nodes(), []);
  isDeaf = false;
  await until('it is back', async () => {
    all.clock.advance(HEARTBEAT_MS);
    return (await all.registry.nodes()).length === 1;
  });
});

test('started without the registry, it serves what it last had', async (t) => {
  const all = await oneNode(t);
  await assign(all.registry, [await all.publish('add', 1, addModel(2))]);
  const first = await all.start();
  await untilTold(all, 'add/1 READY');
  await first.stop();
  t.deepEqual(await all.registry.nodes(), []);
  const dead = new MemoryRegistry(all.clock);
  await dead.close();
  const { backend, health } = await all.start(dead);
  await until('ready', () => health.isServing('') === true);
  t.deepEqual(floats(await infer(backend, 'add', ONES)), [11, 22]);
});

test('started without registry and blob store, it serves what its disk has', async (t) => {
  const all = await oneNode(t);
  const [kept, lost] = [
    await all.publish('add', 1, addModel(2)),
    await all.publish('lost', 1, addModel(2)),
  ];
  await assign(all.registry, [kept, lost]);
  const first = await all.start();
  await untilTold(all, 'add/1 READY', 'lost/1 READY');
  await first.stop();
  await rm(join(all.dataDir, 'cache', lost.manifestSha256), { recursive: true });
  const dead = new MemoryRegistry(all.clock);
  await dead.close();
  let isAway = true;
  const flaky: BlobReader = {
    stat: (sha256) => all.blobs.stat(sha256),
    async *read(sha256, range) {
      if (isAway) throw unavailable('the blob store is away');
      yield* all.blobs.read(sha256, range);
    },
  };
  const { backend } = await all.start(dead, flaky);
  const isReady = async (name: string): Promise<boolean> =>
    (await call(backend, 'modelReady', { name, version: '' })).ready;
  await until('what is on disk is served', () => isReady('add'));
  t.deepEqual(floats(await infer(backend, 'add', ONES)), [11, 22]);
  await until('what is not there says why', async () => {
    const { models } = await call(backend, 'repositoryIndex', {});
    return models.some(({ name, reason }) => name === 'lost' && /store is away/.test(reason));
  });
  t.false(await isReady('lost'));
  isAway = false;
  all.clock.advance(1_000);
  await until('it is fetched', () => isReady('lost'));
  t.deepEqual(floats(await infer(backend, 'lost', ONES)), [11, 22]);
});

test('copies that went elsewhere over a restart, and are not READY there, come back', async (t) => {
  const all = await oneNode(t);
  const entries = await Promise.all(
    ['a', 'b', 'c', 'd'].map((model) => all.publish(model, 1, addModel(2))),
  );
  await assign(all.registry, entries);
  const first = await all.start();
  const ready = ['a/1 READY', 'b/1 READY', 'c/1 READY', 'd/1 READY'];
  await untilTold(all, ...ready);
  await first.stop();
  await all.registry.putNode(nodeRecord('n2'), [], 1e9);
  const moved = entries.map((one) => ({ ...one, nodes: ['n2'] }));
  await assign(all.registry, moved, 2);
  await all.start();
  await untilTold(all, ...ready);
  const arrived = entries.map(({ model, manifestSha256 }) =>
    copy(model, 1, 'READY', { manifestSha256 }),
  );
  await all.registry.putCopies('n2', 'n2-1', arrived);
  await until('they have gone where they are READY', async () => {
    all.clock.advance(HEARTBEAT_MS);
    await new Promise((resolve) => setImmediate(resolve));
    return (await all.told()).length === 0;
  });
  t.deepEqual(await all.told(), []);
});

test('an assignment of an older leader changes nothing', async (t) => {
  const all = await oneNode(t);
  const [one, two] = [
    await all.publish('add', 1, addModel(2)),
    await all.publish('add', 2, addModel(2)),
  ];
  const shard = { schema: REGISTRY_SCHEMA, index: 0, epoch: 5, revision: 1, entries: [one] };
  await all.registry.putShard(shard);
  await (await all.start()).stop();
  // A registry that was emptied, and filled by one who does not know that it no longer leads.
  const emptied = new MemoryRegistry(all.clock);
  await emptied.putShard({ ...shard, epoch: 4, revision: 9, entries: [two] });
  const { backend, health } = await all.start(emptied);
  await until('ready', () => health.isServing('') === true);
  t.is((await infer(backend, 'add', ONES)).modelVersion, '1');
  await emptied.putShard({ ...shard, epoch: 6, revision: 1, entries: [two] });
  await until('version 2', () => call(backend, 'modelReady', READY_TWO).then((a) => a.ready));
  t.is((await infer(backend, 'add', ONES)).modelVersion, '2');
});

const READY_TWO = { name: 'add', version: '2' };

test('a run that hangs: the copy fails, the node drains and asks to be ended', async (t) => {
  const all = await oneNode(t);
  const config = 'parameters { key: "torus_max_run_ms" value { string_value: "5000" } }';
  await assign(all.registry, [
    await all.publish('slow', 1, slowModel(200), { configPbtxt: config }),
    await all.publish('add', 1, addModel(2)),
  ]);
  const { backend, health } = await all.start();
  await untilTold(all, 'add/1 READY', 'slow/1 READY');
  let outcome: unknown;
  const keep = (value: unknown): void => {
    outcome = value;
  };
  infer(backend, 'slow', [fp32('x', [1, 1], [1])]).then(keep, keep);
  await until('the run is given up', () => {
    all.clock.advance(1_000);
    return outcome !== undefined;
  });
  t.true(outcome instanceof StatusError);
  t.is(health.isServing(''), false);
  t.true((await all.told()).includes('slow/1 FAILED'));
  await until('the end is asked for', () => {
    all.clock.advance(100);
    return all.fatal.length > 0;
  });
  t.is(all.fatal.length, 1);
});
