// The handler of import_dataset jobs: an uploaded file becomes rows of the data set's open
// version, which is sealed when that was asked for. A job that was killed goes on from the rows
// that are in.
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Catalog, versionKey } from '../../catalog/catalog.ts';
import {
  failDatasetVersion,
  newDataset,
  openDatasetVersion,
  recordCounts,
  sealDatasetVersion,
} from '../../catalog/datasets.ts';
import type { DatasetDoc, ImportDatasetSpec } from '../../catalog/documents.ts';
import type { JobHandler } from '../../catalog/job-loop.ts';
import type { JobContext } from '../../catalog/job-run.ts';
import { Code, failedPrecondition, StatusError, statusOf } from '../../common/status.ts';
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import type { DatasetStore } from '../../stores/datasets/datasets.ts';
import { type ImportResult, importFile } from './import-file.ts';

export interface DatasetImportOptions {
  readonly catalog: Catalog;
  readonly blobs: Pick<BlobStore, 'stat' | 'read'>;
  readonly datasets: DatasetStore;
  /** For formats that can't be read as a stream. */
  readonly tempDir: string;
  readonly dateMs: () => number;
}

export function datasetImporter(options: DatasetImportOptions): JobHandler<ImportDatasetSpec> {
  return async (job, context) => {
    const { spec } = job;
    const source = `jobs/${job.id}`;
    const dataset = await ensureDataset(options, spec.dataset);
    const version = await versionFor(options, dataset, source);
    try {
      const result = await importRows(options, spec, dataset, version, source, context);
      await finish(options, spec, version);
      return {
        name: `datasets/${spec.dataset}/versions/${version}`,
        metrics: { accepted: result.accepted, rejected: result.rejected, read: result.read },
      };
    } catch (error) {
      // What failed first is told; a version that stays open is gone on with by the next import.
      if (isForGood(context.signal)) {
        await giveUp(options, spec.dataset, version).catch(() => undefined);
      }
      throw error;
    }
  };
}

async function ensureDataset(options: DatasetImportOptions, name: string): Promise<DatasetDoc> {
  const { catalog, dateMs } = options;
  const found = await catalog.get('dataset', name);
  if (found !== undefined) return found.doc;
  return (await catalog.create('dataset', name, newDataset(name, dateMs()))).doc;
}

/**
 * The version that this job writes to: the one it wrote to before it was killed, even if that was
 * sealed
 * in the meantime; else the open one; else the next.
 */
async function versionFor(
  { datasets }: DatasetImportOptions,
  dataset: DatasetDoc,
  source: string,
): Promise<number> {
  const { openVersion, sealedVersion, nextVersion, name } = dataset;
  if (openVersion !== 0) return openVersion;
  if (sealedVersion === 0) return nextVersion;
  return (await datasets.offset(name, sealedVersion, source)) === '' ? nextVersion : sealedVersion;
}

async function importRows(
  options: DatasetImportOptions,
  spec: ImportDatasetSpec,
  dataset: DatasetDoc,
  version: number,
  source: string,
  context: JobContext,
): Promise<ImportResult> {
  const { blobs, tempDir } = options;
  const blob = await blobs.stat(spec.blobSha256);
  if (blob === undefined) {
    throw failedPrecondition(`the uploaded file ${spec.fileName} is gone: upload it again`);
  }
  const sizeBytes = Math.max(1, blob.sizeBytes);
  const temporaryPath = join(tempDir, randomUUID());
  try {
    return await importFile({
      source: blobs.read(spec.blobSha256),
      fileName: spec.fileName,
      ...(spec.format === undefined ? {} : { format: spec.format }),
      ...(dataset.columns.length === 0 ? {} : { columns: dataset.columns }),
      store: opening(options, source),
      dataset: spec.dataset,
      version,
      sourceName: source,
      maxBadRowRatio: spec.maxBadRowRatio,
      temporaryPath,
      signal: context.signal,
      onProgress: ({ bytesRead, accepted, rejected }) =>
        context.progress(Math.min(1, bytesRead / sizeBytes), 'reading rows', {
          accepted,
          rejected,
        }),
    });
  } finally {
    await rm(temporaryPath, { force: true });
  }
}

/** The row store, in which making a version makes its document too. */
function opening(options: DatasetImportOptions, source: string): DatasetStore {
  const { catalog, datasets, dateMs } = options;
  return {
    create: async (name, version, columns) => {
      const found = await catalog.require('dataset', name);
      if (found.doc.openVersion === 0 && version < found.doc.nextVersion) return;
      const given = { inferred: columns, source };
      const { doc } = await openDatasetVersion(catalog, datasets, name, given, dateMs());
      if (doc.version === version) return;
      throw new StatusError(
        Code.ABORTED,
        `another import opened version ${doc.version} of data set '${name}': import again`,
      );
    },
    append: (...args) => datasets.append(...args),
    counts: (...args) => datasets.counts(...args),
    offset: (...args) => datasets.offset(...args),
    seal: (...args) => datasets.seal(...args),
    scan: (...args) => datasets.scan(...args),
    rejected: (...args) => datasets.rejected(...args),
    remove: (...args) => datasets.remove(...args),
    close: () => datasets.close(),
  };
}

/** Nothing is left to do when a job that was killed had come so far before. */
async function finish(
  options: DatasetImportOptions,
  { dataset: name, seals }: ImportDatasetSpec,
  version: number,
): Promise<void> {
  const { catalog, datasets, dateMs } = options;
  const { doc } = await catalog.require('dataset_version', versionKey(name, version));
  if (doc.state === 'SEALED') return;
  await recordCounts(catalog, datasets, name, version);
  if (seals) await sealDatasetVersion(catalog, datasets, name, version, dateMs());
}

/**
 * A job whose process stops, or that another worker took, is gone on with; a cancelled one is not.
 */
function isForGood(signal: AbortSignal): boolean {
  return !signal.aborted || statusOf(signal.reason).code === Code.CANCELLED;
}

/**
 * An import that failed for good leaves its version for people to look at; the next one opens
 * another.
 */
async function giveUp(options: DatasetImportOptions, name: string, version: number) {
  const { catalog, datasets, dateMs } = options;
  const { doc } = await catalog.require('dataset', name);
  if (doc.openVersion !== version) return;
  await failDatasetVersion(catalog, datasets, name, version, dateMs());
}
