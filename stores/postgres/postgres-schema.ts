// The tables of a store in PostgreSQL: made by whoever comes first, however many processes start at
// once, and refused when a newer Torus has made them.
import type { Pool } from 'pg';
import { Code, StatusError } from '../../common/status.ts';

/** What one store keeps in its database; several stores may share one. */
export interface StoreTables {
  /** For messages: 'the catalog'. */
  readonly what: string;
  /** The table with the number of the schema: its name, which is ours. */
  readonly schemaTable: string;
  /** A database with a newer one is refused. */
  readonly schema: number;
  /** Statements that make all tables but that one. */
  readonly create: string;
}

/** One process at a time makes tables: the key of an advisory lock, 'torus' in ASCII. */
const LOCK_KEY = '500085978483';

/** @throws FAILED_PRECONDITION for a newer schema or another encoding; the driver's errors */
export async function prepareTables(pool: Pool, shown: string, tables: StoreTables): Promise<void> {
  const { rows } = await pool.query("SELECT current_setting('server_encoding') AS encoding");
  if (rows[0]?.encoding !== 'UTF8') {
    throw new StatusError(
      Code.FAILED_PRECONDITION,
      `the database ${shown} has the encoding ${rows[0]?.encoding}, ${tables.what} needs UTF8: ` +
        'make it anew with ENCODING UTF8 TEMPLATE template0',
    );
  }
  const found = (await schemaOf(pool, tables)) ?? (await create(pool, tables));
  if (found <= tables.schema) return;
  throw new StatusError(
    Code.FAILED_PRECONDITION,
    `${tables.what} in ${shown} has schema ${found}, this version of Torus reads up to ` +
      `${tables.schema}: run the version that wrote it, or a newer one`,
  );
}

type Queries = Pick<Pool, 'query'>;

async function schemaOf(queries: Queries, tables: StoreTables): Promise<number | undefined> {
  const name = tables.schemaTable;
  const there = await queries.query('SELECT to_regclass($1) IS NOT NULL AS there', [name]);
  if (there.rows[0]?.there !== true) return undefined;
  const { rows } = await queries.query(`SELECT max(schema) AS schema FROM ${name}`);
  return Number(rows[0]?.schema);
}

async function create(pool: Pool, tables: StoreTables): Promise<number> {
  const client = await pool.connect();
  // Without a listener, a connection that breaks here would end the process.
  const ignore = (): void => undefined;
  client.on('error', ignore);
  try {
    // Before the transaction, not in it: a session hears of others' new tables when it begins one,
    // and would else go by what it knew before it waited for the lock.
    await client.query(`SELECT pg_advisory_lock(${LOCK_KEY})`);
    await client.query('BEGIN');
    const found = await schemaOf(client, tables);
    if (found === undefined) {
      await client.query(`${tables.create};
        CREATE TABLE ${tables.schemaTable} (schema integer NOT NULL);
        INSERT INTO ${tables.schemaTable} VALUES (${tables.schema})`);
    }
    await client.query('COMMIT');
    await client.query(`SELECT pg_advisory_unlock(${LOCK_KEY})`);
    client.release();
    return found ?? tables.schema;
  } catch (thrown) {
    // The lock goes with its session.
    client.release(true);
    throw thrown;
  } finally {
    client.off('error', ignore);
  }
}
