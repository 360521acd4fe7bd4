// Documents in PostgreSQL: the catalog of a cluster of several hosts. A put is one statement whose
// condition is the revision, so any number of processes may write at once; it is durable when it
// resolves.
import {
  openPostgresDatabase,
  type PostgresDatabase,
  type PostgresOptions,
} from '../postgres/postgres-database.ts';
import type { StoreTables } from '../postgres/postgres-schema.ts';
import type { Document, DocumentStore, ListOptions } from './documents.ts';
import { prefixEnd } from './key-range.ts';
import { bodyText, checkKey, checkRevision, isKey, listRange, revisionConflict } from './limits.ts';

const READ = 'read the catalog';
const WRITE = 'write the catalog';

export const DOCUMENT_TABLES: StoreTables = {
  what: 'the catalog',
  schemaTable: 'torus_schema',
  schema: 1,
  create: `
    CREATE TABLE torus_documents (
      kind text COLLATE "C" NOT NULL,
      key text COLLATE "C" NOT NULL,
      revision bigint NOT NULL,
      body text NOT NULL,
      PRIMARY KEY (kind, key)
    )`,
};

/** Makes its tables when they are not there. @throws as openPostgresDatabase does */
export async function openPostgresDocuments(
  url: string,
  options?: PostgresOptions,
): Promise<DocumentStore> {
  return new PostgresDocuments(await openPostgresDatabase(url, DOCUMENT_TABLES, options));
}

class PostgresDocuments implements DocumentStore {
  readonly #database: PostgresDatabase;

  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  async get(kind: string, key: string): Promise<Document | undefined> {
    this.#database.checkOpen();
    if (!isKey(kind) || !isKey(key)) return undefined;
    const { rows } = await this.#database.read(
      READ,
      'SELECT key, revision, body FROM torus_documents WHERE kind = $1 AND key = $2',
      [kind, key],
    );
    return rows[0] === undefined ? undefined : documentOf(kind, rows[0]);
  }

  async put(kind: string, key: string, body: unknown, expectedRevision: number): Promise<number> {
    this.#database.checkOpen();
    checkKey('kind', kind);
    checkKey('key', key);
    checkRevision(expectedRevision, 0);
    const text = bodyText(kind, key, body);
    const { rowCount } = await (expectedRevision === 0
      ? this.#database.write(
          WRITE,
          'INSERT INTO torus_documents VALUES ($1, $2, 1, $3) ON CONFLICT DO NOTHING',
          [kind, key, text],
        )
      : this.#database.write(
          WRITE,
          `UPDATE torus_documents SET revision = revision + 1, body = $3
           WHERE kind = $1 AND key = $2 AND revision = $4`,
          [kind, key, text, expectedRevision],
        ));
    if (rowCount === 0) throw revisionConflict(kind, key, expectedRevision);
    return expectedRevision + 1;
  }

  async list(kind: string, options?: ListOptions): Promise<readonly Document[]> {
    this.#database.checkOpen();
    const { prefix, after, limit } = listRange(options);
    if (!isKey(kind) || (prefix !== '' && !isKey(prefix))) return [];
    const { rows } = await this.#database.read(
      READ,
      `SELECT key, revision, body FROM torus_documents
       WHERE kind = $1 AND key > $2 AND key >= $3 AND ($4::text IS NULL OR key < $4)
       ORDER BY key LIMIT $5`,
      // No key holds NUL, so that those after 'a\0b' are those after 'a'.
      [kind, after.split('\0', 1)[0], prefix, prefixEnd(prefix) ?? null, limit],
    );
    return rows.map((row) => documentOf(kind, row));
  }

  async remove(kind: string, key: string, expectedRevision: number): Promise<void> {
    this.#database.checkOpen();
    checkRevision(expectedRevision, 1);
    if (!isKey(kind) || !isKey(key)) throw revisionConflict(kind, key, expectedRevision);
    const { rowCount } = await this.#database.write(
      WRITE,
      'DELETE FROM torus_documents WHERE kind = $1 AND key = $2 AND revision = $3',
      [kind, key, expectedRevision],
    );
    if (rowCount === 0) throw revisionConflict(kind, key, expectedRevision);
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}

function documentOf(kind: string, row: Record<string, unknown>): Document {
  const body: unknown = JSON.parse(String(row.body));
  return { kind, key: String(row.key), revision: Number(row.revision), body };
}
