import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Catalog, versionKey } from '../catalog/catalog.ts';
import { newDataset, openDatasetVersion, sealDatasetVersion } from '../catalog/datasets.ts';
import type { JobDoc, TrainSpec } from '../catalog/documents.ts';
import { claimJob, hasEnded, newJob, requestCancel } from '../catalog/jobs.ts';
import { publishVersion, reserveVersion } from '../catalog/publish.ts';
import { queueJob } from '../catalog/queue.ts';
import { systemClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { Code, StatusError } from '../common/status.ts';
import { decodeManifest } from '../model/manifest.ts';
import { readOnnx } from '../model/onnx/reader.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import { openDirectoryBlobs } from '../stores/blobs/directory.ts';
import { openDuckdbDatasets } from '../stores/datasets/duckdb.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { penguins, type Sample, trainSpecOf } from '../test/support/training-data.ts';
import { createTrainHandler, type HeldOut } from './job.ts';
import { startTrainer } from './trainer.ts';

const DATE_MS = 1_700_000_000_000;
const log = createLog({ role: 'trainer', level: 'silent' });

/** A catalog with the penguins in a sealed version, and what a trainer needs besides. */
async function bench(t: ExecutionContext, sample: Sample = penguins()) {
  const catalog = new Catalog(new MemoryDocuments());
  const registry = new MemoryRegistry(systemClock);
  const directory = await mkdtemp(join(tmpdir(), 'torus-trainer-'));
  const blobs = await openDirectoryBlobs(join(directory, 'blobs'));
  const datasets = await openDuckdbDatasets(join(directory, 'datasets.duckdb'));
  t.teardown(async () => {
    await datasets.close();
    await blobs.close();
    await rm(directory, { recursive: true, force: true });
  });
  const columns = [...sample.columns];
  await catalog.create('dataset', 'sample', newDataset('sample', DATE_MS, { columns }));
  const given = { inferred: [], source: 'test' };
  await openDatasetVersion(catalog, datasets, 'sample', given, DATE_MS);
  const batch = { rows: sample.rows, rejected: [], source: 'test', offset: 'end' };
  await datasets.append('sample', 1, { ...batch, expectedOffset: '' });
  await sealDatasetVersion(catalog, datasets, 'sample', 1, DATE_MS);
  const dateMs = () => DATE_MS;
  return { catalog, registry, blobs, datasets, clock: systemClock, log, dateMs, directory };
}

type Bench = Awaited<ReturnType<typeof bench>>;

/** Starts a trainer that stops with the test. */
async function start(t: ExecutionContext, at: Bench) {
  const trainer = await startTrainer({ ...at, metrics: createMetrics() });
  t.teardown(() => trainer.stop());
  return trainer;
}

async function wholeBlob({ blobs }: Bench, sha256: string): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(blobs.read(sha256)));
}

/** Resolves with the job once it is as wanted: told by the catalog, not by the time. */
function jobWhen(
  { catalog }: Bench,
  id: string,
  isWanted: (job: JobDoc) => boolean = hasEnded,
): Promise<JobDoc> {
  return new Promise((resolve, reject) => {
    const look = () => {
      catalog.get('job', id).then((entry) => {
        if (entry === undefined || !isWanted(entry.doc)) return;
        end();
        resolve(entry.doc);
      }, reject);
    };
    const end = catalog.onChange((kind, key) => {
      if (kind === 'job' && key === id) look();
    });
    look();
  });
}

function contextOf(job: JobDoc, signal = new AbortController().signal) {
  return {
    claim: { id: job.id, owner: job.owner, epoch: job.epoch },
    signal,
    progress: () => {},
  };
}

const specOf = (given: Partial<TrainSpec> = {}): TrainSpec => trainSpecOf(penguins(), given);

test('a job becomes a promoted version with its interface and held-out rows', async (t) => {
  const at = await bench(t);
  await start(t, at);
  await queueJob(at, 'job-1', specOf({ model: 'penguins', epochs: 20, promotes: true }), DATE_MS);
  const job = await jobWhen(at, 'job-1');
  t.is(job.error, undefined);
  t.like(job, { state: 'SUCCEEDED', result: { name: 'models/penguins/versions/1' } });
  const model = await at.catalog.require('model', 'penguins');
  t.like(model.doc, { servingVersion: 1, loadedVersions: [1] });
  const { doc } = await at.catalog.require('version', versionKey('penguins', 1));
  t.like(doc, { state: 'READY', source: 'job-1', platform: 'onnxruntime_onnx' });
  t.like(doc.labels, { dataset: 'sample', dataset_version: '1', algorithm: 'linear' });
  t.true((doc.metrics.val_accuracy ?? 0) > 0.9);
  const manifest = decodeManifest(await wholeBlob(at, doc.manifestSha256));
  t.deepEqual(
    manifest.files.map(({ path }) => path),
    ['held-out.json', 'model.onnx'],
  );
  const [listed = '', file = ''] = manifest.files.map(({ sha256 }) => sha256);
  const { inputs, metadata } = readOnnx(await wholeBlob(at, file));
  t.deepEqual(
    inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    doc.inputs,
  );
  t.is(metadata.get('classes'), '["Adelie","Chinstrap","Gentoo"]');
  const heldOut = JSON.parse((await wholeBlob(at, listed)).toString()) as HeldOut;
  t.like(heldOut, { dataset: 'sample', datasetVersion: 1 });
  t.is(doc.metrics.held_out_rows, heldOut.rows.length);
  t.deepEqual(await readdir(join(at.directory, 'jobs')), []);
});

test('what cannot be trained on fails the job with the reason and publishes nothing', async (t) => {
  const at = await bench(t);
  await start(t, at);
  const columns = [...penguins().columns];
  await at.catalog.create('dataset', 'open', newDataset('open', DATE_MS, { columns }));
  const given = { inferred: [], source: 'test' };
  await openDatasetVersion(at.catalog, at.datasets, 'open', given, DATE_MS);
  const cases: [string, Partial<TrainSpec>, number, RegExp][] = [
    ['unsealed', { dataset: 'open' }, Code.FAILED_PRECONDITION, /no sealed version/],
    ['open', { dataset: 'open', datasetVersion: 1 }, Code.FAILED_PRECONDITION, /is OPEN: only a/],
    ['unknown-set', { dataset: 'nowhere' }, Code.NOT_FOUND, /'nowhere' is not found/],
    ['unknown-version', { datasetVersion: 7 }, Code.NOT_FOUND, /not found/],
    ['no-target', { target: 'colour' }, Code.INVALID_ARGUMENT, /'colour' is no column.*island/],
    ['missing', { target: 'sex' }, Code.FAILED_PRECONDITION, /missing in 11 of 344 rows/],
  ];
  for (const [id, spec, code, message] of cases) {
    await queueJob(at, id, specOf(spec), DATE_MS);
    const job = await jobWhen(at, id);
    t.is(job.state, 'FAILED', id);
    t.is(job.error?.code, code, id);
    t.regex(job.error?.message ?? '', message);
  }
  t.deepEqual(await at.catalog.all('version'), []);
  t.deepEqual(await readdir(join(at.directory, 'jobs')), []);
});

test('a cancelled job ends CANCELLED in the middle of its training', async (t) => {
  const at = await bench(t);
  await start(t, at);
  await queueJob(at, 'long', specOf({ epochs: 100_000 }), DATE_MS);
  await jobWhen(at, 'long', ({ progress }) => progress.step.startsWith('epoch'));
  await at.catalog.update('job', 'long', (job) => requestCancel(job, DATE_MS));
  t.like(await jobWhen(at, 'long'), { state: 'CANCELLED' });
  t.deepEqual(await at.catalog.all('version'), []);
});

/** The bench with a hook in what the job does: it is called before each read or write. */
function hooked(at: Bench, hook: (what: 'scan' | 'write') => Promise<void>): Bench {
  const scan: Bench['datasets']['scan'] = async function* (...args) {
    for await (const batch of at.datasets.scan(...args)) {
      await hook('scan');
      yield batch;
    }
  };
  const blobs: Bench['blobs'] = Object.create(at.blobs);
  blobs.write = async (...args) => {
    await hook('write');
    return await at.blobs.write(...args);
  };
  return { ...at, blobs, datasets: { ...at.datasets, scan } };
}

test('a job cancelled at any step ends as that or has succeeded, and leaves nothing', async (t) => {
  const at = await bench(t);
  // Model and held-out rows are written first, the manifest last: then it is too late.
  const steps = { reading: ['scan', 1], storing: ['write', 1], publishing: ['write', 3] } as const;
  for (const [id, [what, which]] of Object.entries(steps)) {
    let seen = 0;
    const cancelsThere = async (now: string): Promise<void> => {
      if (now !== what) return;
      seen += 1;
      if (seen !== which) return;
      for (const _ of ['once', 'twice']) {
        await at.catalog.update('job', id, (job) => requestCancel(job, DATE_MS));
      }
    };
    const trainer = await startTrainer({ ...hooked(at, cancelsThere), metrics: createMetrics() });
    await queueJob(at, id, specOf({ epochs: 1, model: id }), DATE_MS);
    const job = await jobWhen(at, id);
    await trainer.stop();
    const isLate = id === 'publishing';
    t.like(job, { state: isLate ? 'SUCCEEDED' : 'CANCELLED', isCancelRequested: true }, id);
    t.is((await at.catalog.all('version', `${id}/`)).length, isLate ? 1 : 0, id);
    t.is((await at.catalog.get('model', id)) !== undefined, isLate, id);
    t.deepEqual(await readdir(join(at.directory, 'jobs')), []);
    t.is(await at.registry.lease(`jobs/${id}`), undefined);
  }
});

test('a cancel after a crash finds out whether the version was published', async (t) => {
  const at = await bench(t);
  const spec = specOf({ epochs: 1 });
  for (const [id, publishes] of Object.entries({ published: true, reserved: false })) {
    await at.catalog.create('job', id, claimJob(newJob(id, spec, 1), 'dead', 2));
    const first = (await at.catalog.require('job', id)).doc;
    const context = contextOf(first);
    if (publishes) await createTrainHandler(at)({ ...first, spec }, context);
    else await reserveVersion(at.catalog, { model: 'sample', wanted: 0, claim: context.claim }, 3);
    await at.catalog.update('job', id, (job) => requestCancel(job, DATE_MS));
  }
  await start(t, at);
  t.like(await jobWhen(at, 'published'), { state: 'SUCCEEDED' });
  t.like(await jobWhen(at, 'reserved'), { state: 'CANCELLED' });
  t.is((await at.catalog.all('version')).length, 1);
});

test('a trainer that stops gives its job back to the queue', async (t) => {
  const at = await bench(t);
  const trainer = await start(t, at);
  await queueJob(at, 'long', specOf({ epochs: 100_000 }), DATE_MS);
  await jobWhen(at, 'long', ({ progress }) => progress.step.startsWith('epoch'));
  await trainer.stop();
  t.like((await at.catalog.require('job', 'long')).doc, { state: 'QUEUED', attempts: 0 });
});

test('a job run again after its version was written publishes no second one', async (t) => {
  const at = await bench(t);
  const spec = specOf({ epochs: 1, promotes: true });
  await at.catalog.create('job', 'again', claimJob(newJob('again', spec, 1), 'dead', 2));
  const first = (await at.catalog.require('job', 'again')).doc;
  const handler = createTrainHandler(at);
  await handler({ ...first, spec }, contextOf(first));
  // The worker died here, before it could write the job's end; the next one takes the job.
  await at.catalog.update('model', 'sample', (model) => ({ ...model, servingVersion: 0 }));
  const scan = () => {
    throw new Error('nothing is to be trained again');
  };
  await start(t, { ...at, datasets: { ...at.datasets, scan } });
  const job = await jobWhen(at, 'again');
  t.like(job, { state: 'SUCCEEDED', epoch: 2, result: { name: 'models/sample/versions/1' } });
  t.is((await at.catalog.all('version')).length, 1);
  t.is((await at.catalog.require('model', 'sample')).doc.servingVersion, 1);
});

test('finishing late does not displace a version that was promoted since', async (t) => {
  const at = await bench(t);
  const spec = specOf({ epochs: 1, promotes: true });
  await at.catalog.create('job', 'late', claimJob(newJob('late', spec, 1), 'dead', 2));
  const first = (await at.catalog.require('job', 'late')).doc;
  const handler = createTrainHandler(at);
  await handler({ ...first, spec }, contextOf(first));
  const { doc } = await at.catalog.require('version', versionKey('sample', 1));
  const number = await reserveVersion(at.catalog, { model: 'sample', wanted: 0 }, 3);
  const version = { ...doc, version: number, source: 'upload' };
  await publishVersion(at.catalog, { version, promotes: true }, 3);
  const again = (await at.catalog.require('job', 'late')).doc;
  await handler({ ...again, spec }, contextOf(again));
  t.is((await at.catalog.require('model', 'sample')).doc.servingVersion, 2);
});

test('a worker that lost its claim publishes nothing', async (t) => {
  const at = await bench(t);
  const spec = specOf({ epochs: 1 });
  const lost = claimJob(newJob('lost', spec, 1), 'slow', 2);
  await at.catalog.create('job', 'lost', claimJob(lost, 'other', 3));
  const handler = createTrainHandler(at);
  const error = await t.throwsAsync(handler({ ...lost, spec }, contextOf(lost)), {
    instanceOf: StatusError,
  });
  t.is(error?.code, Code.ABORTED);
  t.deepEqual(await at.catalog.all('version'), []);
});
