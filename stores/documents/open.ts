// The catalog's store by its address, as --catalog gives it: postgres://... for several hosts, else
// a SQLite file of this one.
import { invalidArgument } from '../../common/status.ts';
import type { DocumentStore } from './documents.ts';
import { openSqliteDocuments } from './sqlite.ts';

export interface OpenDocumentsOptions {
  /** True: a server that is away does not keep this from opening; calls are UNAVAILABLE then. */
  readonly mayBeAway?: boolean;
}

/**
 * @param address 'postgres://user:password@host/database', 'sqlite:PATH', or a path
 * @throws INVALID_ARGUMENT for another scheme; as the store's own open does
 */
export async function openDocuments(
  address: string,
  options: OpenDocumentsOptions = {},
): Promise<DocumentStore> {
  if (/^postgres(ql)?:/.test(address)) {
    // Its driver is only loaded when it is used.
    const { openPostgresDocuments } = await import('./postgres.ts');
    return await openPostgresDocuments(address, options);
  }
  const path = address.replace(/^sqlite:(\/\/(?=\/))?/, '');
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(path)?.[1];
  if (path !== '' && scheme === undefined) return openSqliteDocuments(path);
  throw invalidArgument(
    `a catalog at ${scheme === undefined ? "''" : `${scheme}:`} is not known: use ` +
      'postgres://user:password@host/database, or sqlite:PATH',
  );
}
