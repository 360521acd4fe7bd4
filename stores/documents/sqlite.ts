// Documents in one SQLite file: the embedded catalog. A put is durable when it resolves: WAL with
// synchronous=FULL waits for the disk, and a process killed in between loses nothing acknowledged.
// Text is kept as UTF-8 and compared bytewise, which is the order of code points.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { Code, StatusError, statusOf, unavailable } from '../../common/status.ts';
import { diskError } from '../disk-error.ts';
import type { Document, DocumentStore, ListOptions } from './documents.ts';
import { prefixEnd } from './key-range.ts';
import { bodyText, checkKey, checkRevision, listRange, revisionConflict } from './limits.ts';

/** Of the file itself (PRAGMA user_version); a file with a newer one is refused. */
export const SQLITE_SCHEMA = 1;
/** Another process in the middle of its write is waited for; longer: UNAVAILABLE. */
const BUSY_TIMEOUT_MS = 1_000;
/** Catalogs are small; a file that would grow past it answers RESOURCE_EXHAUSTED. */
export const MAX_FILE_BYTES = 4 * 1024 ** 3;
const PAGE_BYTES = 4_096;

const CREATE = `
  CREATE TABLE documents (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, key)
  ) STRICT, WITHOUT ROWID`;

export interface SqliteDocumentsOptions {
  readonly maxFileBytes?: number;
}

/** Makes folder and file when absent. @throws StatusError that names the path. */
export function openSqliteDocuments(path: string, options?: SqliteDocumentsOptions): DocumentStore {
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (thrown) {
    throw diskError(thrown, 'make the folder of the catalog', dirname(path));
  }
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    database.exec(`PRAGMA page_size = ${PAGE_BYTES}`);
    migrate(database, path);
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    const maxPages = Math.floor((options?.maxFileBytes ?? MAX_FILE_BYTES) / PAGE_BYTES);
    database.exec(`PRAGMA max_page_count = ${maxPages}`);
    return new SqliteDocuments(database);
  } catch (thrown) {
    database?.close();
    throw sqliteError(thrown, `open the catalog at ${path}`);
  }
}

function migrate(database: DatabaseSync, path: string): void {
  database.exec('BEGIN IMMEDIATE');
  const found = Number(database.prepare('PRAGMA user_version').get()?.user_version);
  if (found > SQLITE_SCHEMA) {
    throw new StatusError(
      Code.FAILED_PRECONDITION,
      `the catalog at ${path} has schema ${found}, this version of Torus reads up to ` +
        `${SQLITE_SCHEMA}: run the version that wrote it, or a newer one`,
    );
  }
  if (found === 0) database.exec(`${CREATE}; PRAGMA user_version = ${SQLITE_SCHEMA}`);
  database.exec('COMMIT');
}

class SqliteDocuments implements DocumentStore {
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #remove: StatementSync;
  readonly #list: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#get = database.prepare('SELECT revision, body FROM documents WHERE kind = ? AND key = ?');
    this.#insert = database.prepare(
      'INSERT INTO documents VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING',
    );
    this.#update = database.prepare(
      `UPDATE documents SET revision = revision + 1, body = ?
       WHERE kind = ? AND key = ? AND revision = ?`,
    );
    this.#remove = database.prepare(
      'DELETE FROM documents WHERE kind = ? AND key = ? AND revision = ?',
    );
    this.#list = database.prepare(
      `SELECT key, revision, body FROM documents
       WHERE kind = ? AND key > ? AND key >= ? AND (? IS NULL OR key < ?)
       ORDER BY key LIMIT ?`,
    );
  }

  async get(kind: string, key: string): Promise<Document | undefined> {
    return this.#run('read', () => {
      const row = this.#get.get(kind, key);
      return row === undefined ? undefined : documentOf(kind, { ...row, key });
    });
  }

  async put(kind: string, key: string, body: unknown, expectedRevision: number): Promise<number> {
    checkKey('kind', kind);
    checkKey('key', key);
    checkRevision(expectedRevision, 0);
    const text = bodyText(kind, key, body);
    const { changes } = this.#run('write', () =>
      expectedRevision === 0
        ? this.#insert.run(kind, key, text)
        : this.#update.run(text, kind, key, expectedRevision),
    );
    if (changes === 0) throw revisionConflict(kind, key, expectedRevision);
    return expectedRevision + 1;
  }

  async list(kind: string, options?: ListOptions): Promise<readonly Document[]> {
    const { prefix, after, limit } = listRange(options);
    const end = prefixEnd(prefix) ?? null;
    return this.#run('read', () =>
      this.#list.all(kind, after, prefix, end, end, limit).map((row) => documentOf(kind, row)),
    );
  }

  async remove(kind: string, key: string, expectedRevision: number): Promise<void> {
    checkRevision(expectedRevision, 1);
    const { changes } = this.#run('write', () => this.#remove.run(kind, key, expectedRevision));
    if (changes === 0) throw revisionConflict(kind, key, expectedRevision);
  }

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }

  #run<Result>(doing: string, action: () => Result): Result {
    if (!this.#database.isOpen) throw unavailable('the document store is closed');
    try {
      return action();
    } catch (thrown) {
      throw sqliteError(thrown, `${doing} the catalog`);
    }
  }
}

function documentOf(kind: string, row: Record<string, unknown>): Document {
  const body: unknown = JSON.parse(String(row.body));
  return { kind, key: String(row.key), revision: Number(row.revision), body };
}

/** Primary result codes: https://www.sqlite.org/rescode.html */
const RESULTS: Readonly<Record<number, readonly [Code, string]>> = {
  3: [Code.PERMISSION_DENIED, 'this user may not read or write there'],
  5: [Code.UNAVAILABLE, `another process kept it locked for ${BUSY_TIMEOUT_MS} ms`],
  6: [Code.UNAVAILABLE, 'it is locked'],
  8: [Code.PERMISSION_DENIED, 'the file or its folder can only be read'],
  11: [Code.DATA_LOSS, 'the file is damaged: restore it from a backup'],
  13: [Code.RESOURCE_EXHAUSTED, 'the disk is full, or the file has reached its limit'],
  14: [Code.PERMISSION_DENIED, 'the file cannot be opened or made'],
  26: [Code.DATA_LOSS, 'the file is no SQLite database'],
};

function sqliteError(thrown: unknown, doing: string): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const isSqlite = thrown instanceof Error && 'errcode' in thrown;
  const known = isSqlite ? RESULTS[Number(thrown.errcode) & 0xff] : undefined;
  const [code, why] = known ?? [Code.INTERNAL, statusOf(thrown).message];
  return new StatusError(code, `cannot ${doing}: ${why}`, { cause: thrown });
}
