// A training job from its document to a published model version. The rows go to a training process
// and the ONNX file comes back; then blobs first, the version document last, so a crash at any
// moment leaves nothing half published. A job that runs again after its version was written only
// finishes.
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Catalog } from '../catalog/catalog.ts';
import type { TrainSpec, VersionDoc } from '../catalog/documents.ts';
import type { JobHandler, JobOf } from '../catalog/job-loop.ts';
import type { JobContext } from '../catalog/job-run.ts';
import type { JobResult } from '../catalog/jobs.ts';
import { isNewest, publishedBy, publishVersion, reserveVersion } from '../catalog/publish.ts';
import type { Clock } from '../common/clock.ts';
import { DEFAULT_MODEL_FILENAME, PLATFORM } from '../model/config/derive.ts';
import { MANIFEST_SCHEMA, writeManifest } from '../model/manifest.ts';
import type { BlobStore } from '../stores/blobs/blobs.ts';
import { writeSmallBlob } from '../stores/blobs/small-blobs.ts';
import type { DatasetStore } from '../stores/datasets/datasets.ts';
import { type PackedBatch, packBatch } from './columns/packed.ts';
import type { TrainingResult } from './messages.ts';
import { resolveData, type TrainingData } from './request.ts';
import type { BackendName } from './tfjs/backend.ts';
import { runTrainingProcess } from './training-process.ts';

/** Which rows were held out, so that anybody can evaluate the version on them: see HeldOut. */
export const HELD_OUT_FILE = 'held-out.json';
/** Row numbers in that file, at most: the first ones. */
export const MAX_HELD_OUT_LISTED = 100_000;
/** One ONNX file holds no more. */
const MAX_MODEL_BYTES = 2 ** 31;
const WORK_PREFIX = 'train-';

/** Content of HELD_OUT_FILE. */
export interface HeldOut {
  readonly dataset: string;
  readonly datasetVersion: number;
  /** From 0, in the order in which the data set version is scanned; ascending. */
  readonly rows: readonly number[];
}

export interface TrainHandlerOptions {
  readonly catalog: Catalog;
  readonly blobs: Pick<BlobStore, 'write'>;
  readonly datasets: Pick<DatasetStore, 'scan'>;
  readonly clock: Clock;
  /** The date, milliseconds since 1970. */
  readonly dateMs: () => number;
  /** For files of running jobs. */
  readonly directory: string;
  /** See tfjs/backend.ts. */
  readonly nativeModulePath?: string | undefined;
  readonly backend?: BackendName | undefined;
}

/** Shares of a job's progress: reading, training, the rest. */
const READ_SHARE = 0.1;
const TRAINED_SHARE = 0.9;

export function createTrainHandler(options: TrainHandlerOptions): JobHandler<TrainSpec> {
  return async (job, context) => {
    const published = await publishedBy(options.catalog, job, job.spec.model);
    if (published !== undefined) return await finish(options, job, context, published);
    const data = await resolveData(options.catalog, job.spec);
    await mkdir(options.directory, { recursive: true });
    const work = await mkdtemp(join(options.directory, WORK_PREFIX));
    try {
      const modelPath = join(work, DEFAULT_MODEL_FILENAME);
      const result = await train(options, job.spec, data, context, modelPath);
      context.signal.throwIfAborted();
      context.progress(0.95, 'publishing', result.metrics);
      const version = await store(options, job, context, { data, result, modelPath });
      return await finish(options, job, context, version);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  };
}

async function train(
  options: TrainHandlerOptions,
  spec: TrainSpec,
  data: TrainingData,
  context: JobContext,
  modelPath: string,
): Promise<TrainingResult> {
  const { features, target } = data;
  const { nativeModulePath, backend, clock } = options;
  return await runTrainingProcess({
    request: { spec, features, target, modelPath, nativeModulePath, backend },
    batches: readBatches(options.datasets, data, context),
    signal: context.signal,
    clock,
    listener: {
      onEpoch(epoch, metrics) {
        const fraction = READ_SHARE + (TRAINED_SHARE - READ_SHARE) * (epoch / spec.epochs);
        context.progress(fraction, `epoch ${epoch} of ${spec.epochs}`, { epoch, ...metrics });
      },
      onExport: () => context.progress(TRAINED_SHARE, 'exporting and checking'),
    },
  });
}

async function* readBatches(
  datasets: Pick<DatasetStore, 'scan'>,
  data: TrainingData,
  context: JobContext,
): AsyncGenerator<PackedBatch> {
  const columns = [...data.features, data.target];
  const names = columns.map(({ name }) => name);
  let rows = 0;
  context.progress(0, 'reading rows', { rows });
  for await (const batch of datasets.scan(data.dataset, data.version, { columns: names })) {
    context.signal.throwIfAborted();
    rows += batch.rowCount;
    const share = Math.min(1, rows / Math.max(1, data.rowCount));
    context.progress(READ_SHARE * share, 'reading rows', { rows });
    yield packBatch(batch, columns);
  }
  context.progress(READ_SHARE, 'training', { rows });
}

/** Files, then the manifest, then nothing more: it can be seen by nobody until it is published. */
async function store(
  options: TrainHandlerOptions,
  job: JobOf<TrainSpec>,
  context: JobContext,
  trained: { data: TrainingData; result: TrainingResult; modelPath: string },
): Promise<Omit<VersionDoc, 'schema' | 'createdMs'>> {
  const { blobs, catalog } = options;
  const { data, result, modelPath } = trained;
  const { model } = job.spec;
  const onnx = await blobs.write(createReadStream(modelPath), { maxBytes: MAX_MODEL_BYTES });
  const heldOut = await writeSmallBlob(blobs, encodeHeldOut(data, result));
  const files = [
    { path: DEFAULT_MODEL_FILENAME, ...onnx },
    { path: HELD_OUT_FILE, ...heldOut },
  ];
  // From here on it is too late: the model's document may come to be.
  context.signal.throwIfAborted();
  const reservation = { model, wanted: 0, claim: context.claim };
  const version = await reserveVersion(catalog, reservation, options.dateMs());
  const inputs = result.inputs.map((spec) => ({ ...spec, shape: [...spec.shape] }));
  const outputs = result.outputs.map((spec) => ({ ...spec, shape: [...spec.shape] }));
  const stored = await writeManifest(blobs, {
    schema: MANIFEST_SCHEMA,
    ...{ model, version, platform: PLATFORM, files, configPbtxt: '', inputs, outputs },
  });
  return {
    ...{ model, version, state: 'READY', reason: '', platform: PLATFORM, inputs, outputs },
    manifestSha256: stored.sha256,
    sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    metrics: { ...result.metrics },
    labels: {
      dataset: data.dataset,
      dataset_version: String(data.version),
      algorithm: job.spec.algorithm,
      task: result.task,
      target: job.spec.target,
      backend: result.backend,
    },
    source: job.id,
  };
}

/** Publishes (or finds it published by an earlier run) and promotes, all under the job's claim. */
async function finish(
  { catalog, dateMs }: TrainHandlerOptions,
  job: JobOf<TrainSpec>,
  { claim }: JobContext,
  version: Omit<VersionDoc, 'schema' | 'createdMs'>,
): Promise<JobResult> {
  const promotes = job.spec.promotes && (await isNewest(catalog, version));
  const { doc } = await publishVersion(catalog, { version, claim, promotes }, dateMs());
  return { name: `models/${doc.model}/versions/${doc.version}`, metrics: doc.metrics };
}

function encodeHeldOut(data: TrainingData, result: TrainingResult): Uint8Array {
  const heldOut: HeldOut = {
    dataset: data.dataset,
    datasetVersion: data.version,
    rows: result.heldOutRows.slice(0, MAX_HELD_OUT_LISTED),
  };
  return new TextEncoder().encode(JSON.stringify(heldOut));
}

/** Files of jobs that died with an earlier process; nothing of a running one may be there. */
export async function removeLeftovers(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}
