// A PostgreSQL database as a store uses it: connections in bounded number, every wait bounded, its
// own tables made before the first statement, errors translated once. A server that is away is
// UNAVAILABLE within a bound, and used again once it is back.
import { Pool, type PoolClient, type PoolConfig, type QueryResult } from 'pg';
import { Code, hasCode, StatusError, unavailable } from '../../common/status.ts';
import { type PostgresAddress, parsePostgresAddress } from './postgres-address.ts';
import { isBrokenOff, postgresError } from './postgres-error.ts';
import { prepareTables, type StoreTables } from './postgres-schema.ts';

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
/**
 * The server ends a session whose transaction waits so long for its next statement: a process that
 * was cut off in the middle must not keep its locks. Longer than any work between two statements.
 */
export const DEFAULT_IDLE_TRANSACTION_TIMEOUT_MS = 20_000;
/** A connection that is not used for so long is closed. */
const IDLE_TIMEOUT_MS = 30_000;
/** Dead peers are found by TCP after so much silence. */
const KEEP_ALIVE_DELAY_MS = 10_000;

export interface PostgresOptions {
  readonly maxConnections?: number;
  readonly connectTimeoutMs?: number;
  readonly statementTimeoutMs?: number;
  readonly idleTransactionTimeoutMs?: number;
  /** True: a server that is away does not keep this from opening; calls are UNAVAILABLE then. */
  readonly mayBeAway?: boolean;
}

/**
 * Makes the tables when they are not there.
 * @param url as parsePostgresAddress reads it
 * @throws INVALID_ARGUMENT, UNAVAILABLE, UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION
 * (no such database, a newer schema, TLS); none repeats the password.
 */
export async function openPostgresDatabase(
  url: string,
  tables: StoreTables,
  options: PostgresOptions = {},
): Promise<PostgresDatabase> {
  const database = new PostgresDatabase(parsePostgresAddress(url), tables, options);
  try {
    await database.prepare();
  } catch (thrown) {
    const mayGoOn = options.mayBeAway === true && hasCode(thrown, Code.UNAVAILABLE);
    if (!mayGoOn) {
      await database.close();
      throw thrown;
    }
  }
  return database;
}

/** A session within a transaction. */
export type Session = Pick<PoolClient, 'query'>;

export class PostgresDatabase {
  /** The address, for messages: neither user nor password. */
  readonly shown: string;
  readonly #pool: Pool;
  readonly #tables: StoreTables;
  #prepared: Promise<void> | undefined;
  #isClosed = false;

  constructor(address: PostgresAddress, tables: StoreTables, options: PostgresOptions) {
    this.shown = address.shown;
    this.#tables = tables;
    this.#pool = new Pool(poolConfig(address, options));
    // A connection that breaks while nobody uses it is replaced when one is needed.
    this.#pool.on('error', () => undefined);
  }

  /** Looks at the tables, once; a look that failed is repeated by the next call. */
  prepare(): Promise<void> {
    this.#prepared ??= prepareTables(this.#pool, this.shown, this.#tables).catch((thrown) => {
      this.#prepared = undefined;
      throw postgresError(thrown, `open ${this.#tables.what} at ${this.shown}`);
    });
    return this.#prepared;
  }

  /** @param doing to be read after "cannot", as in all of these: 'read the catalog' */
  async read(doing: string, text: string, values: readonly unknown[]): Promise<QueryResult> {
    await this.prepare();
    try {
      return await this.#query(text, values).catch((thrown: unknown) => {
        // A pooled connection may have died unseen, with a server that has long been replaced.
        if (!isBrokenOff(thrown)) throw thrown;
        return this.#query(text, values);
      });
    } catch (thrown) {
      throw postgresError(thrown, `${doing} at ${this.shown}`);
    }
  }

  /** Sent once: when its answer is lost, whether it was done is only known by reading again. */
  async write(doing: string, text: string, values: readonly unknown[]): Promise<QueryResult> {
    await this.prepare();
    try {
      return await this.#query(text, values);
    } catch (thrown) {
      throw postgresError(thrown, `${doing} at ${this.shown}`);
    }
  }

  /**
   * All that the action does, or nothing; durable when it resolves. The action may run twice: what
   * broke off before its commit was sent is done anew. When the answer to a commit is lost, whether
   * it was done is only known by reading again.
   */
  async transaction<Result>(
    doing: string,
    action: (session: Session) => Promise<Result>,
  ): Promise<Result> {
    await this.prepare();
    const progress = { isCommitting: false };
    try {
      return await this.#attempt(action, progress).catch((thrown: unknown) => {
        if (progress.isCommitting || !isBrokenOff(thrown)) throw thrown;
        return this.#attempt(action, progress);
      });
    } catch (thrown) {
      throw postgresError(thrown, `${doing} at ${this.shown}`);
    }
  }

  /** @throws UNAVAILABLE once it is closed */
  checkOpen(): void {
    if (this.#isClosed) throw unavailable(`the store of ${this.#tables.what} is closed`);
  }

  /** What is under way may end first, which its time limit bounds. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#pool.end();
  }

  #query(text: string, values: readonly unknown[]): Promise<QueryResult> {
    this.#checkWaiting();
    return this.#pool.query(text, [...values]);
  }

  async #attempt<Result>(
    action: (session: Session) => Promise<Result>,
    progress: { isCommitting: boolean },
  ): Promise<Result> {
    this.#checkWaiting();
    const client = await this.#pool.connect();
    // Without a listener, a connection that breaks here would end the process.
    const ignore = (): void => undefined;
    client.on('error', ignore);
    let isUsable = false;
    try {
      await client.query('BEGIN');
      const result = await action(client);
      progress.isCommitting = true;
      await client.query('COMMIT');
      isUsable = true;
      return result;
    } catch (thrown) {
      // A refusal of our own leaves the session as it was; any other takes it along.
      isUsable = thrown instanceof StatusError && (await rolledBack(client));
      throw thrown;
    } finally {
      client.off('error', ignore);
      client.release(!isUsable);
    }
  }

  #checkWaiting(): void {
    if (this.#pool.waitingCount < MAX_WAITING_STATEMENTS) return;
    throw unavailable(
      `${MAX_WAITING_STATEMENTS} statements wait for ${this.#tables.what} at ${this.shown}, ` +
        'which is the limit: try again later',
    );
  }
}

async function rolledBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    return false;
  }
}

function poolConfig(address: PostgresAddress, options: PostgresOptions): PoolConfig {
  const { shown: _, ...where } = address;
  const statementTimeoutMs = options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS;
  const idleTransactionTimeoutMs =
    options.idleTransactionTimeoutMs ?? DEFAULT_IDLE_TRANSACTION_TIMEOUT_MS;
  return {
    ...where,
    application_name: 'torus',
    max: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
    connectionTimeoutMillis: options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
    query_timeout: statementTimeoutMs + ANSWER_GRACE_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    onConnect: (client) =>
      settle(client as PoolClient, statementTimeoutMs, idleTransactionTimeoutMs),
  };
}

/**
 * What each session promises whatever the server's defaults are: statements and transactions end, a
 * compare-and-set sees what others have committed, and what is committed is on the disk.
 */
async function settle(
  client: PoolClient,
  statementTimeoutMs: number,
  idleTransactionTimeoutMs: number,
): Promise<void> {
  await client.query(
    `SELECT set_config('statement_timeout', $1, false),
       set_config('idle_in_transaction_session_timeout', $2, false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
         WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)`,
    [String(statementTimeoutMs), String(idleTransactionTimeoutMs)],
  );
}
