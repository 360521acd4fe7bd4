import test from 'ava';
import { Catalog, versionKey } from '../catalog/catalog.ts';
import { publishVersion, reserveVersion } from '../catalog/publish.ts';
import { promoteVersion } from '../catalog/versions.ts';
import { createLog } from '../common/log.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { PLAN_RESYNC_MS } from './leader-state.ts';
import { PlannedModels, REREAD_MODELS, SHORT_LOOK_MS } from './planned-models.ts';

/** Two processes with one catalog; the reader is told of what `own` changes. */
function worldOf() {
  const store = new MemoryDocuments();
  const counts = { gets: 0, lists: 0 };
  let nowMs = 0;
  let lookMs = 0;
  const counted = new Proxy(store, {
    get(target, name) {
      if (name === 'get') counts.gets += 1;
      if (name === 'list') {
        counts.lists += 1;
        nowMs += lookMs;
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const [own, other] = [new Catalog(counted), new Catalog(store)];
  const models = new PlannedModels({
    catalog: own,
    log: createLog({ role: 'test', level: 'silent' }),
    nowMs: () => nowMs,
  });
  own.onChange((kind, key) => models.told(kind, key));
  return {
    own,
    other,
    store,
    counts,
    takes(ms: number) {
      lookMs = ms;
    },
    passes(ms: number) {
      nowMs += ms;
    },
    read: (epoch = 1) => models.read([], epoch),
    async publish(catalog: Catalog, model: string) {
      const version = await reserveVersion(catalog, { model, wanted: 0 }, 0);
      const doc = {
        model,
        version,
        state: 'READY' as const,
        reason: '',
        manifestSha256: String(version).padStart(64, '0'),
        platform: 'onnxruntime_onnx',
        inputs: [],
        outputs: [],
        sizeBytes: 10,
        metrics: {},
        labels: {},
        source: 'upload',
      };
      await publishVersion(catalog, { version: doc, promotes: true }, 0);
    },
  };
}

const brief = ({ models }: Awaited<ReturnType<PlannedModels['read']>>): readonly string[] =>
  models.map(({ model, versions }) => `${model.name}/${versions.map((v) => v.version).join()}`);

test('what this or another process changes is seen by the next plan, the rest stays', async (t) => {
  const { own, other, publish, read } = worldOf();
  await publish(own, 'b');
  await publish(other, 'a');
  const first = await read();
  t.deepEqual(brief(first), ['a/1', 'b/1']);
  t.is((await read()).models, first.models);
  await publish(other, 'a');
  const second = await read();
  t.deepEqual(brief(second), ['a/1,2', 'b/1']);
  t.is(second.models[1], first.models[1]);
  const { revision } = await other.require('model', 'b');
  await other.remove('model', 'b', revision);
  t.deepEqual(brief(await read()), ['a/1,2']);
});

test('where a look takes long, changes of others wait for it, own do not', async (t) => {
  const { own, other, publish, read, counts, takes, passes } = worldOf();
  takes(SHORT_LOOK_MS + PLAN_RESYNC_MS);
  await publish(own, 'a');
  await read();
  takes(SHORT_LOOK_MS + 1);
  passes(PLAN_RESYNC_MS);
  await read();
  const { lists } = counts;
  await publish(other, 'x');
  await publish(own, 'y');
  t.deepEqual(brief(await read()), ['a/1', 'y/1']);
  t.is(counts.lists, lists);
  passes(PLAN_RESYNC_MS);
  t.deepEqual(brief(await read()), ['a/1', 'x/1', 'y/1']);
});

test('a change of a version that its model does not show is seen in its turn', async (t) => {
  const { other, publish, read, counts } = worldOf();
  const names = Array.from({ length: REREAD_MODELS + 50 }, (_, at) => `m-${at}`);
  for (const name of names) await publish(other, name);
  await read();
  for (const name of names) {
    const key = versionKey(name, 1);
    await other.update('version', key, (doc) => ({ ...doc, state: 'QUARANTINED', reason: 'x' }));
  }
  const ready = async (): Promise<number> =>
    (await read()).models.filter(({ versions }) => versions[0]?.state === 'READY').length;
  const { gets } = counts;
  t.is(await ready(), 50);
  t.is(counts.gets - gets, REREAD_MODELS);
  t.is(await ready(), 0);
});

test('a model that can not be read is told, and read as soon as it can be', async (t) => {
  const { other, store, publish, read } = worldOf();
  await publish(other, 'a');
  await publish(other, 'b');
  const { body, revision } = (await store.get('model', 'a')) ?? { body: {}, revision: 0 };
  const broken = await store.put('model', 'a', { schema: 1, name: 7 }, revision);
  const found = await read();
  t.deepEqual([brief(found), [...found.unread]], [['b/1'], ['a']]);
  await store.put('model', 'a', body, broken);
  const again = await read();
  t.deepEqual([brief(again), [...again.unread]], [['a/1', 'b/1'], []]);
});

test('a new lead reads all again; a failed read is made up for', async (t) => {
  const { own, other, store, publish, read, counts } = worldOf();
  await publish(own, 'a');
  const first = await read();
  const list = store.list.bind(store);
  store.list = () => Promise.reject(new Error('away'));
  await promoteVersion(own, 'a', 1, 5);
  await publish(other, 'b');
  await t.throwsAsync(read(), { message: 'away' });
  store.list = list;
  t.deepEqual(brief(await read()), ['a/1', 'b/1']);
  const { gets } = counts;
  const next = await read(2);
  t.is(counts.gets - gets, 2);
  t.not(next.models[0], first.models[0]);
});
