import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { Catalog, versionKey } from './catalog.ts';
import type { VersionDoc } from './documents.ts';
import { claimJob, newJob } from './jobs.ts';
import { MAX_LOADED_VERSIONS, unloadAll } from './models.ts';
import { publishVersion, reserveVersion } from './publish.ts';
import { deleteModel, deleteVersion, loadModelVersion, promoteVersion } from './versions.ts';

const codeOf = (error: unknown): number | undefined =>
  error instanceof StatusError ? error.code : undefined;

const newCatalog = (): Catalog => new Catalog(new MemoryDocuments());

const draft = (version: number, given: Partial<VersionDoc> = {}) => ({
  model: 'm',
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
  ...given,
});

async function publish(catalog: Catalog, promotes: boolean): Promise<number> {
  const version = await reserveVersion(catalog, { model: 'm', wanted: 0 }, 1);
  await publishVersion(catalog, { version: draft(version), promotes }, 1);
  return version;
}

test('versions are numbered from 1, never twice, whoever takes them', async (t) => {
  const catalog = newCatalog();
  const numbers = await Promise.all(
    Array.from({ length: 10 }, () => reserveVersion(catalog, { model: 'm', wanted: 0 }, 1)),
  );
  t.deepEqual(
    numbers.sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  t.is(await reserveVersion(catalog, { model: 'm', wanted: 20 }, 1), 20);
  t.is(await reserveVersion(catalog, { model: 'm', wanted: 0 }, 1), 21);
});

test('a number that is taken is refused', async (t) => {
  const catalog = newCatalog();
  await publish(catalog, false);
  const error = await t.throwsAsync(reserveVersion(catalog, { model: 'm', wanted: 1 }, 1));
  t.is(codeOf(error), Code.ALREADY_EXISTS);
});

test('promotion replaces the serving version among the loaded ones', async (t) => {
  const catalog = newCatalog();
  await publish(catalog, true);
  await publish(catalog, false);
  await loadModelVersion(catalog, 'm', 2, 2);
  await publish(catalog, true);
  const { doc } = await catalog.require('model', 'm');
  t.like(doc, { servingVersion: 3 });
  t.deepEqual(doc.loadedVersions, [2, 3]);
  await promoteVersion(catalog, 'm', 1, 3);
  t.deepEqual((await catalog.require('model', 'm')).doc.loadedVersions, [1, 2]);
});

test('only a READY version is promoted', async (t) => {
  const catalog = newCatalog();
  await publish(catalog, false);
  await catalog.update('version', versionKey('m', 1), (doc) => ({
    ...doc,
    state: 'QUARANTINED',
    reason: 'took its node down',
  }));
  const error = await t.throwsAsync(promoteVersion(catalog, 'm', 1, 2));
  t.is(codeOf(error), Code.FAILED_PRECONDITION);
  t.regex(error?.message ?? '', /QUARANTINED.*took its node down/);
  t.is(codeOf(await t.throwsAsync(promoteVersion(catalog, 'm', 9, 2))), Code.NOT_FOUND);
});

test('loaded versions of one model are bounded', async (t) => {
  const catalog = newCatalog();
  for (let at = 0; at <= MAX_LOADED_VERSIONS; at += 1) await publish(catalog, false);
  for (let version = 1; version <= MAX_LOADED_VERSIONS; version += 1) {
    await loadModelVersion(catalog, 'm', version, 2);
  }
  const error = await t.throwsAsync(loadModelVersion(catalog, 'm', MAX_LOADED_VERSIONS + 1, 2));
  t.is(codeOf(error), Code.FAILED_PRECONDITION);
});

test('the serving version can not be deleted, others can, by etag too', async (t) => {
  const catalog = newCatalog();
  await publish(catalog, true);
  await publish(catalog, false);
  await loadModelVersion(catalog, 'm', 2, 2);
  const serving = await t.throwsAsync(deleteVersion(catalog, 'm', 1, undefined, 3));
  t.is(codeOf(serving), Code.FAILED_PRECONDITION);
  t.is((await catalog.require('version', versionKey('m', 1))).doc.state, 'READY');
  const stale = await t.throwsAsync(deleteVersion(catalog, 'm', 2, 99, 3));
  t.is(codeOf(stale), Code.ABORTED);
  await deleteVersion(catalog, 'm', 2, 1, 3);
  t.is(await catalog.get('version', versionKey('m', 2)), undefined);
  t.deepEqual((await catalog.require('model', 'm')).doc.loadedVersions, [1]);
});

/** A store in which something else happens just before a certain write. */
class Interrupted extends MemoryDocuments {
  before:
    | { readonly verb: 'put' | 'remove'; readonly kind: string; run(): Promise<unknown> }
    | undefined;

  override async put(kind: string, key: string, body: unknown, expected: number): Promise<number> {
    await this.#interrupt('put', kind);
    return await super.put(kind, key, body, expected);
  }

  override async remove(kind: string, key: string, expected: number): Promise<void> {
    await this.#interrupt('remove', kind);
    await super.remove(kind, key, expected);
  }

  async #interrupt(verb: string, kind: string): Promise<void> {
    const { before } = this;
    if (before === undefined || before.verb !== verb || before.kind !== kind) return;
    this.before = undefined;
    await before.run();
  }
}

for (const [verb, kind] of [
  ['put', 'version'],
  ['put', 'model'],
  ['remove', 'version'],
] as const) {
  test(`promoted before a deletion's ${verb} of the ${kind}: not served and gone`, async (t) => {
    const store = new Interrupted();
    const catalog = new Catalog(store);
    await publish(catalog, true);
    await publish(catalog, false);
    let outcomes: PromiseSettledResult<unknown>[] = [];
    const run = async (): Promise<void> => {
      outcomes = await Promise.allSettled([promoteVersion(catalog, 'm', 2, 3)]);
    };
    store.before = { verb, kind, run };
    const deletion = await Promise.allSettled([deleteVersion(catalog, 'm', 2, undefined, 3)]);
    const done = [...outcomes, ...deletion].filter(({ status }) => status === 'fulfilled');
    t.is(done.length, 1);
    const { servingVersion } = (await catalog.require('model', 'm')).doc;
    const served = await catalog.require('version', versionKey('m', servingVersion));
    t.is(served.doc.state, 'READY');
  });
}

test('a model with versions is deleted only by force, and then whole', async (t) => {
  const catalog = newCatalog();
  await publish(catalog, true);
  const remove = (force: boolean) => deleteModel(catalog, 'm', { revision: undefined, force }, 3);
  t.is(codeOf(await t.throwsAsync(remove(false))), Code.FAILED_PRECONDITION);
  t.is((await catalog.require('model', 'm')).doc.servingVersion, 1);
  await remove(true);
  t.is(await catalog.get('model', 'm'), undefined);
  t.deepEqual(await catalog.all('version'), []);
});

test('a version published into a model that is being deleted is not left behind', async (t) => {
  for (let round = 0; round < 12; round += 1) {
    const catalog = newCatalog();
    await publish(catalog, true);
    const version = await reserveVersion(catalog, { model: 'm', wanted: 0 }, 1);
    const late = async (): Promise<void> => {
      for (let turn = 0; turn < round; turn += 1) await Promise.resolve();
      await publishVersion(catalog, { version: draft(version), promotes: false }, 2);
    };
    await Promise.allSettled([
      deleteModel(catalog, 'm', { revision: undefined, force: true }, 3),
      late(),
    ]);
    t.deepEqual(await catalog.all('version'), []);
  }
});

test('a job publishes one version, and none when it lost its claim', async (t) => {
  const catalog = newCatalog();
  const spec = {
    kind: 'import_model',
    model: 'm',
    files: [{ path: 'model.onnx', sha256: '0'.repeat(64), sizeBytes: 1 }],
    version: 0,
    labels: {},
    source: 'upload',
    promotes: true,
  } as const;
  const first = claimJob(newJob('j', { ...spec, files: [...spec.files] }, 1), 'a', 2);
  const made = await catalog.create('job', 'j', first);
  const claimA = { id: 'j', owner: 'a', epoch: 1 };
  const version = await reserveVersion(catalog, { model: 'm', wanted: 0, claim: claimA }, 3);
  const publication = { version: draft(version, { source: 'jobs/j' }), promotes: true };
  await publishVersion(catalog, { ...publication, claim: claimA }, 3);
  // Its worker dies here, another one takes the job and does all of it again.
  await catalog.put('job', 'j', claimJob(made.doc, 'b', 4), made.revision + 1);
  const lost = await t.throwsAsync(
    reserveVersion(catalog, { model: 'm', wanted: 0, claim: claimA }, 5),
  );
  t.is(codeOf(lost), Code.ABORTED);
  const late = await t.throwsAsync(
    publishVersion(catalog, { ...publication, version: draft(9), claim: claimA }, 5),
  );
  t.is(codeOf(late), Code.ABORTED);
  t.is((await catalog.all('version')).length, 1);
});

test('a job that is tried again publishes under the number it had', async (t) => {
  const catalog = newCatalog();
  const claim = (owner: string, epoch: number) => ({ id: 'j', owner, epoch });
  const spec = {
    kind: 'import_model' as const,
    model: 'm',
    files: [{ path: 'model.onnx', sha256: '0'.repeat(64), sizeBytes: 1 }],
    version: 0,
    labels: {},
    source: 'upload',
    promotes: true,
  };
  await catalog.create('job', 'j', claimJob(newJob('j', spec, 1), 'a', 2));
  const publishAs = async (owner: string, epoch: number): Promise<number> => {
    const by = { model: 'm', wanted: 0, claim: claim(owner, epoch) };
    const version = await reserveVersion(catalog, by, 3);
    const doc = draft(version, { source: 'jobs/j' });
    const publication = { version: doc, promotes: true, claim: by.claim };
    return (await publishVersion(catalog, publication, 3)).doc.version;
  };
  t.is(await publishAs('a', 1), 1);
  await catalog.update('job', 'j', (doc) => claimJob(doc, 'b', 4));
  t.is(await publishAs('b', 2), 1);
  t.is((await catalog.all('version')).length, 1);
});

test('unloading forgets no serving version', async (t) => {
  const catalog = newCatalog();
  await publish(catalog, true);
  const { doc } = await catalog.update('model', 'm', (model) => unloadAll(model, 5));
  t.like(doc, { servingVersion: 1, loadedVersions: [] });
  t.deepEqual((await promoteVersion(catalog, 'm', 1, 6)).doc.loadedVersions, [1]);
});
