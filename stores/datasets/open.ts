// The store of data sets' rows by its address: postgres://... for several processes and hosts, else
// a DuckDB file, which one process has open at a time.
import { join } from 'node:path';
import { invalidArgument } from '../../common/status.ts';
import type { DatasetStore } from './datasets.ts';

/** In a folder that is given as address. */
const FILE_NAME = 'datasets.duckdb';

export interface OpenDatasetsOptions {
  /** True: a server that is away does not keep this from opening; calls are UNAVAILABLE then. */
  readonly mayBeAway?: boolean;
}

/**
 * @param address 'postgres://user:password@host/database', 'duckdb:FILE', or a folder, in which
 * the file is datasets.duckdb
 * @throws INVALID_ARGUMENT for another scheme; as the store's own open does
 */
export async function openDatasets(
  address: string,
  options: OpenDatasetsOptions = {},
): Promise<DatasetStore> {
  // Drivers are only loaded when they are used.
  if (/^postgres(ql)?:/.test(address)) {
    const { openPostgresDatasets } = await import('./postgres.ts');
    return await openPostgresDatasets(address, options);
  }
  const path = address.replace(/^duckdb:(\/\/(?=\/))?/, '');
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(path)?.[1];
  if (path !== '' && scheme === undefined) {
    const { openDuckdbDatasets } = await import('./duckdb.ts');
    return await openDuckdbDatasets(path === address ? join(path, FILE_NAME) : path);
  }
  throw invalidArgument(
    `a store of data sets at ${scheme === undefined ? "''" : `${scheme}:`} is not known: use ` +
      'postgres://user:password@host/database, duckdb:FILE, or a folder',
  );
}
