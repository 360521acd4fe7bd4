// The ingest role: takes import jobs by lease, of data sets and of models, and runs each beside the
// others' work without blocking it; what foreign code touches is looked at in child processes.
import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Catalog } from '../catalog/catalog.ts';
import { type JobLoop, startJobLoop } from '../catalog/job-loop.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Registry } from '../registry/registry.ts';
import type { BlobStore } from '../stores/blobs/blobs.ts';
import type { DatasetStore } from '../stores/datasets/datasets.ts';
import { datasetImporter } from './datasets/job.ts';
import { importRepository, type RepositoryImport } from './models/import-repository.ts';
import { type ModelImportOptions, modelImporter } from './models/publish.ts';

/** Imports at a time; more wait, oldest first. */
const MAX_CONCURRENT_IMPORTS = 2;

export interface IngestOptions {
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly blobs: BlobStore;
  readonly datasets: DatasetStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Of this role alone: files of running imports; emptied at the start. */
  readonly directory: string;
  /** The date, milliseconds since 1970. */
  readonly dateMs: () => number;
}

export interface Ingest {
  /** Imports a folder in Triton's layout. @throws INVALID_ARGUMENT when it can't be read. */
  importRepository(folder: string, signal: AbortSignal): Promise<RepositoryImport>;
  /** Running imports are stopped and go back into the queue. */
  stop(): Promise<void>;
}

export async function startIngest(options: IngestOptions): Promise<Ingest> {
  const { catalog, registry, blobs, datasets, clock, log, dateMs } = options;
  const tempDir = join(options.directory, 'imports');
  await rm(tempDir, { recursive: true, force: true });
  await mkdir(tempDir, { recursive: true });
  const models: ModelImportOptions = { catalog, blobs, tempDir, dateMs, log };
  const loop: JobLoop = startJobLoop({
    ...{ catalog, registry, clock, log, dateMs },
    owner: `ingest-${randomBytes(6).toString('hex')}`,
    maxConcurrentJobs: MAX_CONCURRENT_IMPORTS,
    handlers: {
      import_dataset: datasetImporter({ catalog, blobs, datasets, tempDir, dateMs }),
      import_model: modelImporter(models),
    },
  });
  return {
    importRepository: (folder, signal) => importRepository(models, folder, signal),
    stop: () => loop.stop(),
  };
}
