import { mkdtemp, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Catalog } from '../catalog/catalog.ts';
import type { JobSpec } from '../catalog/documents.ts';
import { claimJob, failJob, newJob } from '../catalog/jobs.ts';
import { publishVersion, reserveVersion } from '../catalog/publish.ts';
import { deleteModel } from '../catalog/versions.ts';
import { createLog } from '../common/log.ts';
import { Code, StatusError, unavailable } from '../common/status.ts';
import { encodeManifest } from '../model/manifest.ts';
import type { BlobStore } from '../stores/blobs/blobs.ts';
import { openDirectoryBlobs } from '../stores/blobs/directory.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import {
  collectGarbage,
  forgetOldJobs,
  GARBAGE_GRACE_MS,
  JOB_RETENTION_MS,
  REMOVALS_PER_LOOK,
} from './garbage.ts';

const log = createLog({ role: 'test', level: 'silent' });
const DAY_MS = 24 * 60 * 60 * 1_000;

async function worldOf(t: { teardown(end: () => Promise<void>): void }) {
  const folder = await mkdtemp(join(tmpdir(), 'torus-garbage-'));
  const blobs = await openDirectoryBlobs(folder);
  t.teardown(async () => {
    await blobs.close();
    await rm(folder, { recursive: true });
  });
  const catalog = new Catalog(new MemoryDocuments());
  const world = {
    catalog,
    blobs: blobs as BlobStore,
    log,
    /** Days after now: what is written now is that old then. */
    days: 0,
    dateMs: () => Date.now() + world.days * DAY_MS,
    async write(bytes: Uint8Array): Promise<string> {
      const source = (async function* () {
        yield bytes;
      })();
      return (await blobs.write(source, { maxBytes: 10_000 })).sha256;
    },
    text: (text: string) => world.write(new TextEncoder().encode(text)),
    async isThere(sha256: string): Promise<boolean> {
      return (await blobs.stat(sha256)) !== undefined;
    },
    async age(sha256: string, date: Date): Promise<void> {
      const path = join(folder, 'blobs', sha256.slice(0, 2), sha256.slice(2, 4), sha256);
      await utimes(path, date, date);
    },
    async publish(model: string, file: string): Promise<string> {
      const version = await reserveVersion(catalog, { model, wanted: 0 }, 0);
      const manifest = encodeManifest({
        schema: 1,
        model,
        version,
        platform: 'onnxruntime_onnx',
        files: [{ path: 'model.onnx', sha256: file, sizeBytes: 4 }],
        configPbtxt: '',
        inputs: [],
        outputs: [],
      });
      const manifestSha256 = await world.write(manifest);
      const doc = {
        model,
        version,
        state: 'READY' as const,
        reason: '',
        manifestSha256,
        platform: 'onnxruntime_onnx',
        inputs: [],
        outputs: [],
        sizeBytes: 4,
        metrics: {},
        labels: {},
        source: 'upload',
      };
      await publishVersion(catalog, { version: doc, promotes: true }, 0);
      return manifestSha256;
    },
  };
  return world;
}

const importOf = (blobSha256: string): JobSpec => ({
  kind: 'import_dataset',
  dataset: 'd',
  blobSha256,
  fileName: 'd.csv',
  maxBadRowRatio: 0,
  seals: false,
});

test('what a version names stays; what nothing names goes after the grace period', async (t) => {
  const world = await worldOf(t);
  const [file, stray] = [await world.text('onnx'), await world.text('stray')];
  const manifest = await world.publish('m', file);
  t.deepEqual(await collectGarbage(world), { blobs: 3, removed: 0, removedBytes: 0 });
  world.days = 2;
  t.deepEqual(await collectGarbage(world), { blobs: 3, removed: 1, removedBytes: 5 });
  t.false(await world.isThere(stray));
  t.true((await world.isThere(file)) && (await world.isThere(manifest)));
  await deleteModel(world.catalog, 'm', { revision: undefined, force: true }, 0);
  t.is((await collectGarbage(world)).removed, 2);
});

test('what a job was given stays until some time after its end', async (t) => {
  const world = await worldOf(t);
  const blob = await world.text('x,y');
  const running = claimJob(newJob('j', importOf(blob), 0), 'w', 0);
  await world.catalog.create('job', 'j', running);
  world.days = 30;
  await collectGarbage(world);
  t.true(await world.isThere(blob));
  const claim = { id: 'j', owner: 'w', epoch: 1 };
  const error = new StatusError(Code.INTERNAL, 'no');
  await world.catalog.update('job', 'j', (job) => failJob(job, claim, error, world.dateMs()));
  await collectGarbage(world);
  t.true(await world.isThere(blob));
  world.days += GARBAGE_GRACE_MS / DAY_MS + 1;
  await collectGarbage(world);
  t.false(await world.isThere(blob));
});

test('a blob that is written again while garbage is collected stays', async (t) => {
  const world = await worldOf(t);
  const blob = await world.text('again');
  await world.age(blob, new Date(Date.now() - 5 * DAY_MS));
  let isFirst = true;
  const list = world.blobs.list.bind(world.blobs);
  world.blobs.list = async (after, limit) => {
    const listing = await list(after, limit);
    if (isFirst) await world.text('again');
    isFirst = false;
    return listing;
  };
  t.is((await collectGarbage(world)).removed, 0);
  t.true(await world.isThere(blob));
});

test('an old upload that a job asks for while much is removed stays', async (t) => {
  const world = await worldOf(t);
  const all: string[] = [];
  for (let at = 0; at <= REMOVALS_PER_LOOK; at += 1) all.push(await world.text(`blob ${at}`));
  world.days = 2;
  // In the order in which they are listed.
  const last = all.toSorted().at(-1) ?? '';
  let isFirst = true;
  const remove = world.blobs.remove.bind(world.blobs);
  world.blobs.remove = async (sha256) => {
    if (isFirst) await world.catalog.create('job', 'j', newJob('j', importOf(last), 0));
    isFirst = false;
    await remove(sha256);
  };
  t.is((await collectGarbage(world)).removed, REMOVALS_PER_LOOK);
  t.true(await world.isThere(last));
});

test('nothing is removed while a manifest can not be read', async (t) => {
  const world = await worldOf(t);
  const [file, stray] = [await world.text('onnx'), await world.text('stray')];
  await world.publish('m', file);
  world.days = 2;
  const { blobs } = world;
  world.blobs = new Proxy(blobs, {
    get: (target, name) => {
      if (name === 'read') throw unavailable('the store is away');
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  await t.throwsAsync(collectGarbage(world), { message: 'the store is away' });
  t.true(await blobs.stat(stray).then((info) => info !== undefined));
});

test('a manifest that is gone keeps nothing else from being collected', async (t) => {
  const world = await worldOf(t);
  const [file, stray] = [await world.text('onnx'), await world.text('stray')];
  const lost = await world.publish('lost', file);
  await world.publish('m', await world.text('other'));
  await world.blobs.remove(lost);
  world.days = 2;
  await collectGarbage(world);
  t.false(await world.isThere(stray));
  t.true(await world.isThere(await world.text('other')));
});

test('ended jobs are forgotten after a month, open ones never', async (t) => {
  const world = await worldOf(t);
  const blob = await world.text('x,y');
  const claim = { id: 'ended', owner: 'w', epoch: 1 };
  const error = new StatusError(Code.INTERNAL, 'no');
  const ended = claimJob(newJob('ended', importOf(blob), 0), 'w', 0);
  await world.catalog.create('job', 'ended', failJob(ended, claim, error, world.dateMs()));
  await world.catalog.create('job', 'open', newJob('open', importOf(blob), 0));
  t.is(await forgetOldJobs(world), 0);
  world.days = JOB_RETENTION_MS / DAY_MS + 1;
  t.is(await forgetOldJobs(world), 1);
  t.deepEqual(
    (await world.catalog.all('job')).map(({ key }) => key),
    ['open'],
  );
});
