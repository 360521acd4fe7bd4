import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import test from 'ava';
import { Catalog, versionKey } from '../../catalog/catalog.ts';
import { CATALOG_SCHEMA, type ImportDatasetSpec } from '../../catalog/documents.ts';
import type { JobOf } from '../../catalog/job-loop.ts';
import { newJob } from '../../catalog/jobs.ts';
import { Code, notFound, StatusError } from '../../common/status.ts';
import type { BlobReader } from '../../stores/blobs/blobs.ts';
import { MemoryDatasets } from '../../stores/datasets/memory.ts';
import { MemoryDocuments } from '../../stores/documents/memory.ts';
import { datasetImporter } from './job.ts';

/** A world in memory with one uploaded file. */
function world(content: string) {
  let bytes = Buffer.from(content);
  let sha256 = createHash('sha256').update(bytes).digest('hex');
  const blobs: BlobReader = {
    stat: async (hash) => (hash === sha256 ? { sha256, sizeBytes: bytes.length } : undefined),
    async *read(hash) {
      if (hash !== sha256) throw notFound(hash);
      for (let at = 0; at < bytes.length; at += 1_000) yield bytes.subarray(at, at + 1_000);
    },
  };
  const catalog = new Catalog(new MemoryDocuments());
  const datasets = new MemoryDatasets();
  const run = datasetImporter({ catalog, blobs, datasets, tempDir: tmpdir(), dateMs: () => 1 });
  const jobOf = (id: string, over: Partial<ImportDatasetSpec> = {}) =>
    newJob(
      id,
      {
        kind: 'import_dataset',
        dataset: 'd',
        blobSha256: sha256,
        fileName: 'd.csv',
        maxBadRowRatio: 0.01,
        seals: true,
        ...over,
      },
      1,
    ) as JobOf<ImportDatasetSpec>;
  const seen: Readonly<Record<string, number>>[] = [];
  const context = (signal = new AbortController().signal) => ({
    claim: { id: 'j', owner: 'o', epoch: 1 },
    signal,
    progress: (_fraction: number, _step: string, metrics?: Readonly<Record<string, number>>) => {
      if (metrics !== undefined) seen.push(metrics);
    },
  });
  /** Another uploaded file in place of the first; its hash. */
  const replace = (other: string): string => {
    bytes = Buffer.from(other);
    sha256 = createHash('sha256').update(bytes).digest('hex');
    return sha256;
  };
  return { catalog, datasets, run, jobOf, context, seen, replace };
}

const csv = (rows: number): string =>
  `a,b\n${Array.from({ length: rows }, (_, at) => `${at},x${at}\n`).join('')}`;

test('an import makes the data set, its version and its rows, and seals them', async (t) => {
  const { catalog, datasets, run, jobOf, context, seen } = world(csv(20));
  const result = await run(jobOf('j1'), context());
  t.deepEqual(result, {
    name: 'datasets/d/versions/1',
    metrics: { accepted: 20, rejected: 0, read: 20 },
  });
  const { doc } = await catalog.require('dataset_version', versionKey('d', 1));
  t.like(doc, { schema: CATALOG_SCHEMA, state: 'SEALED', accepted: 20, source: 'jobs/j1' });
  t.like((await catalog.require('dataset', 'd')).doc, { sealedVersion: 1, openVersion: 0 });
  t.deepEqual(await datasets.counts('d', 1), { accepted: 20, rejected: 0 });
  t.deepEqual(seen.at(-1), { accepted: 20, rejected: 0 });
});

test('the same job again, as after a kill before its end, changes nothing', async (t) => {
  const { catalog, datasets, run, jobOf, context } = world(csv(20));
  const first = await run(jobOf('j1'), context());
  t.deepEqual(await run(jobOf('j1'), context()), first);
  t.deepEqual(await datasets.counts('d', 1), { accepted: 20, rejected: 0 });
  t.is((await catalog.require('dataset', 'd')).doc.nextVersion, 2);
});

test('another import after sealing makes the next version', async (t) => {
  const { run, jobOf, context } = world(csv(3));
  await run(jobOf('j1'), context());
  t.is((await run(jobOf('j2'), context())).name, 'datasets/d/versions/2');
});

test('imports that do not seal add to the open version', async (t) => {
  const { datasets, run, jobOf, context } = world(csv(3));
  await run(jobOf('j1', { seals: false }), context());
  const second = await run(jobOf('j2'), context());
  t.is(second.name, 'datasets/d/versions/1');
  t.deepEqual(await datasets.counts('d', 1), { accepted: 6, rejected: 0 });
});

test('too many bad rows fail the import; its version is given up', async (t) => {
  const bad = world(`${csv(10)}1\n2\n`);
  const error = await t.throwsAsync(bad.run(bad.jobOf('j1'), bad.context()));
  t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT);
  const { doc } = await bad.catalog.require('dataset_version', versionKey('d', 1));
  t.like(doc, { state: 'FAILED', accepted: 10, rejected: 2 });
  const tolerant = await bad.run(bad.jobOf('j2', { maxBadRowRatio: 0.5 }), bad.context());
  t.is(tolerant.name, 'datasets/d/versions/2');
});

test('a schema that no data set can have is told, and the next import is free', async (t) => {
  const { catalog, run, jobOf, context, replace } = world(`${'a'.repeat(300)},b\n1,2\n`);
  await t.throwsAsync(run(jobOf('j1'), context()), { message: /column name has 256 characters/ });
  t.like((await catalog.require('dataset', 'd')).doc, { openVersion: 0, columns: [] });
  const blobSha256 = replace(csv(3));
  t.is((await run(jobOf('j2', { blobSha256 }), context())).name, 'datasets/d/versions/1');
});

test('a schema inferred from a file that failed does not bind the next one', async (t) => {
  const { run, jobOf, context, replace } = world('x,y\n1,2\n3\n4\n');
  await t.throwsAsync(run(jobOf('j1'), context()), { message: /2 of 3 rows of d.csv are bad/ });
  const blobSha256 = replace(csv(3));
  t.is((await run(jobOf('j2', { blobSha256 }), context())).name, 'datasets/d/versions/2');
});

test('an error of the store is told, not what giving up says', async (t) => {
  const { catalog, datasets, run, jobOf, context } = world(csv(3));
  datasets.create = async () => {
    throw new StatusError(Code.RESOURCE_EXHAUSTED, 'the disk is full');
  };
  await t.throwsAsync(run(jobOf('j1'), context()), { message: 'the disk is full' });
  t.like((await catalog.require('dataset', 'd')).doc, { openVersion: 0, columns: [] });
});

test('a file that is gone is told', async (t) => {
  const { run, jobOf, context } = world(csv(3));
  const job = jobOf('j1', { blobSha256: 'f'.repeat(64) });
  await t.throwsAsync(run(job, context()), { message: /d\.csv is gone: upload it again/ });
});

test('a cancelled import is given up, one whose process stops is not', async (t) => {
  for (const [code, state] of [
    [Code.CANCELLED, 'FAILED'],
    [Code.UNAVAILABLE, 'OPEN'],
  ] as const) {
    const { catalog, run, jobOf, context } = world(csv(3));
    const abort = new AbortController();
    const job = jobOf('j1', { seals: false });
    await run(job, context());
    abort.abort(new StatusError(code, 'stop'));
    await t.throwsAsync(run(jobOf('j2'), context(abort.signal)), { message: 'stop' });
    const { doc } = await catalog.require('dataset_version', versionKey('d', 1));
    t.is(doc.state, state);
  }
});
