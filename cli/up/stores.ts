// The embedded stores of one process, all below the data folder and opened under its lock.
import { join } from 'node:path';
import { Catalog } from '../../catalog/catalog.ts';
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import { openDirectoryBlobs } from '../../stores/blobs/directory.ts';
import type { DatasetStore } from '../../stores/datasets/datasets.ts';
import { openDuckdbDatasets } from '../../stores/datasets/duckdb.ts';
import { openSqliteDocuments } from '../../stores/documents/sqlite.ts';
import { lockDataFolder } from './data-lock.ts';

export interface OpenStores {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly datasets: DatasetStore;
  /** Folders of what is not a store: nodes' caches, work in progress. */
  readonly folders: {
    readonly blobs: string;
    readonly nodes: string;
    readonly ingest: string;
    readonly trainer: string;
    readonly toolchain: string;
  };
  close(): Promise<void>;
}

/** @throws FAILED_PRECONDITION when another process has the folder; typed errors of the disk. */
export async function openStores(folder: string): Promise<OpenStores> {
  const lock = lockDataFolder(folder);
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const one of closers.reverse()) await one();
    lock.release();
  };
  try {
    const documents = openSqliteDocuments(join(folder, 'catalog.sqlite'));
    closers.push(() => documents.close());
    const blobs = await openDirectoryBlobs(join(folder, 'blobs'));
    closers.push(() => blobs.close());
    const datasets = await openDuckdbDatasets(join(folder, 'datasets.duckdb'));
    closers.push(() => datasets.close());
    return {
      catalog: new Catalog(documents),
      blobs,
      datasets,
      folders: {
        blobs: join(folder, 'blobs'),
        nodes: join(folder, 'nodes'),
        ingest: join(folder, 'ingest'),
        trainer: join(folder, 'trainer'),
        toolchain: join(folder, 'toolchain'),
      },
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}
