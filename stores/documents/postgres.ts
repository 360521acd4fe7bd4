// Documents in PostgreSQL: the catalog of a cluster of several hosts. A put is one statement whose
// condition is the revision, so any number of processes may write at once; it is durable when it
// resolves. A server that is away is UNAVAILABLE within a bound, and used again once it is back.
import { Pool, type PoolClient, type PoolConfig, type QueryResult } from 'pg';
import { Code, hasCode, unavailable } from '../../common/status.ts';
import type { Document, DocumentStore, ListOptions } from './documents.ts';
import { prefixEnd } from './key-range.ts';
import { bodyText, checkKey, checkRevision, isKey, listRange, revisionConflict } from './limits.ts';
import { type PostgresAddress, parsePostgresAddress } from './postgres-address.ts';
import { isBrokenOff, postgresError } from './postgres-error.ts';
import { prepareTables } from './postgres-schema.ts';

/** Connections of one process; statements past them wait. The server's own limit is often 100. */
export const DEFAULT_MAX_CONNECTIONS = 8;
/** Statements that wait for a connection; one more is UNAVAILABLE. */
export const MAX_WAITING_STATEMENTS = 1_000;
/** To make a connection, or to get a free one; longer: UNAVAILABLE. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;
/** The server gives a statement up after it (a lock held by another session): UNAVAILABLE. */
export const DEFAULT_STATEMENT_TIMEOUT_MS = 10_000;
/** A server that has not even said that by then is taken for lost: UNAVAILABLE. */
const ANSWER_GRACE_MS = 2_000;
/** A connection that is not used for so long is closed. */
const IDLE_TIMEOUT_MS = 30_000;
/** Dead peers are found by TCP after so much silence. */
const KEEP_ALIVE_DELAY_MS = 10_000;

export interface PostgresDocumentsOptions {
  readonly maxConnections?: number;
  readonly connectTimeoutMs?: number;
  readonly statementTimeoutMs?: number;
  /** True: a server that is away does not keep this from opening; calls are UNAVAILABLE then. */
  readonly mayBeAway?: boolean;
}

/**
 * Makes its tables when they are not there.
 * @param url as parsePostgresAddress reads it
 * @throws INVALID_ARGUMENT, UNAVAILABLE, UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION
 * (no such database, a newer schema, TLS); none repeats the password.
 */
export async function openPostgresDocuments(
  url: string,
  options: PostgresDocumentsOptions = {},
): Promise<DocumentStore> {
  const store = new PostgresDocuments(parsePostgresAddress(url), options);
  try {
    await store.prepare();
  } catch (thrown) {
    const mayGoOn = options.mayBeAway === true && hasCode(thrown, Code.UNAVAILABLE);
    if (!mayGoOn) {
      await store.close();
      throw thrown;
    }
  }
  return store;
}

class PostgresDocuments implements DocumentStore {
  readonly #pool: Pool;
  readonly #shown: string;
  #prepared: Promise<void> | undefined;
  #isClosed = false;

  constructor(address: PostgresAddress, options: PostgresDocumentsOptions) {
    this.#shown = address.shown;
    this.#pool = new Pool(poolConfig(address, options));
    // A connection that breaks while nobody uses it is replaced when one is needed.
    this.#pool.on('error', () => undefined);
  }

  /** Looks at the tables, once; a look that failed is repeated by the next call. */
  prepare(): Promise<void> {
    this.#prepared ??= prepareTables(this.#pool, this.#shown).catch((thrown: unknown) => {
      this.#prepared = undefined;
      throw postgresError(thrown, `open the catalog at ${this.#shown}`);
    });
    return this.#prepared;
  }

  async get(kind: string, key: string): Promise<Document | undefined> {
    this.#checkOpen();
    if (!isKey(kind) || !isKey(key)) return undefined;
    const { rows } = await this.#read(
      'SELECT key, revision, body FROM torus_documents WHERE kind = $1 AND key = $2',
      [kind, key],
    );
    return rows[0] === undefined ? undefined : documentOf(kind, rows[0]);
  }

  async put(kind: string, key: string, body: unknown, expectedRevision: number): Promise<number> {
    this.#checkOpen();
    checkKey('kind', kind);
    checkKey('key', key);
    checkRevision(expectedRevision, 0);
    const text = bodyText(kind, key, body);
    const { rowCount } = await (expectedRevision === 0
      ? this.#write('INSERT INTO torus_documents VALUES ($1, $2, 1, $3) ON CONFLICT DO NOTHING', [
          kind,
          key,
          text,
        ])
      : this.#write(
          `UPDATE torus_documents SET revision = revision + 1, body = $3
           WHERE kind = $1 AND key = $2 AND revision = $4`,
          [kind, key, text, expectedRevision],
        ));
    if (rowCount === 0) throw revisionConflict(kind, key, expectedRevision);
    return expectedRevision + 1;
  }

  async list(kind: string, options?: ListOptions): Promise<readonly Document[]> {
    this.#checkOpen();
    const { prefix, after, limit } = listRange(options);
    if (!isKey(kind) || (prefix !== '' && !isKey(prefix))) return [];
    const { rows } = await this.#read(
      `SELECT key, revision, body FROM torus_documents
       WHERE kind = $1 AND key > $2 AND key >= $3 AND ($4::text IS NULL OR key < $4)
       ORDER BY key LIMIT $5`,
      // No key holds NUL, so that those after 'a\0b' are those after 'a'.
      [kind, after.split('\0', 1)[0], prefix, prefixEnd(prefix) ?? null, limit],
    );
    return rows.map((row) => documentOf(kind, row));
  }

  async remove(kind: string, key: string, expectedRevision: number): Promise<void> {
    this.#checkOpen();
    checkRevision(expectedRevision, 1);
    if (!isKey(kind) || !isKey(key)) throw revisionConflict(kind, key, expectedRevision);
    const { rowCount } = await this.#write(
      'DELETE FROM torus_documents WHERE kind = $1 AND key = $2 AND revision = $3',
      [kind, key, expectedRevision],
    );
    if (rowCount === 0) throw revisionConflict(kind, key, expectedRevision);
  }

  /** What is under way may end first, which its time limit bounds. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#pool.end();
  }

  async #read(text: string, values: readonly unknown[]): Promise<QueryResult> {
    await this.prepare();
    try {
      return await this.#query(text, values).catch((thrown: unknown) => {
        // A pooled connection may have died unseen, with a server that has long been replaced.
        if (!isBrokenOff(thrown)) throw thrown;
        return this.#query(text, values);
      });
    } catch (thrown) {
      throw postgresError(thrown, `read the catalog at ${this.#shown}`);
    }
  }

  /** Sent once: when its answer is lost, whether it was done is only known by reading again. */
  async #write(text: string, values: readonly unknown[]): Promise<QueryResult> {
    await this.prepare();
    try {
      return await this.#query(text, values);
    } catch (thrown) {
      throw postgresError(thrown, `write the catalog at ${this.#shown}`);
    }
  }

  #query(text: string, values: readonly unknown[]): Promise<QueryResult> {
    if (this.#pool.waitingCount >= MAX_WAITING_STATEMENTS) {
      throw unavailable(
        `${MAX_WAITING_STATEMENTS} statements wait for the catalog at ${this.#shown}, which is ` +
          'the limit: try again later',
      );
    }
    return this.#pool.query(text, [...values]);
  }

  #checkOpen(): void {
    if (this.#isClosed) throw unavailable('the document store is closed');
  }
}

function poolConfig(address: PostgresAddress, options: PostgresDocumentsOptions): PoolConfig {
  const { shown: _, ...where } = address;
  const statementTimeoutMs = options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS;
  return {
    ...where,
    application_name: 'torus',
    max: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
    connectionTimeoutMillis: options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
    query_timeout: statementTimeoutMs + ANSWER_GRACE_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    onConnect: (client) => settle(client as PoolClient, statementTimeoutMs),
  };
}

/**
 * What each session promises whatever the server's defaults are: statements end, a compare-and-set
 * sees what others have committed, and what is committed is on the disk.
 */
async function settle(client: PoolClient, statementTimeoutMs: number): Promise<void> {
  await client.query(
    `SELECT set_config('statement_timeout', $1, false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
         WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)`,
    [String(statementTimeoutMs)],
  );
}

function documentOf(kind: string, row: Record<string, unknown>): Document {
  const body: unknown = JSON.parse(String(row.body));
  return { kind, key: String(row.key), revision: Number(row.revision), body };
}
