// The tables of the catalog in PostgreSQL: made by whoever comes first, however many processes
// start at once, and refused when a newer Torus has made them.
import type { Pool } from 'pg';
import { Code, StatusError } from '../../common/status.ts';

/** Of the tables; a database with a newer one is refused. */
export const POSTGRES_SCHEMA = 1;
/** One process at a time makes the tables: the key of an advisory lock, 'torus' in ASCII. */
const LOCK_KEY = '500085978483';

const CREATE = `
  CREATE TABLE torus_documents (
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (kind, key)
  );
  CREATE TABLE torus_schema (schema integer NOT NULL);
  INSERT INTO torus_schema VALUES (${POSTGRES_SCHEMA})`;

/** @throws FAILED_PRECONDITION for a newer schema or another encoding; the driver's errors */
export async function prepareTables(pool: Pool, shown: string): Promise<void> {
  const { rows } = await pool.query("SELECT current_setting('server_encoding') AS encoding");
  if (rows[0]?.encoding !== 'UTF8') {
    throw new StatusError(
      Code.FAILED_PRECONDITION,
      `the database ${shown} has the encoding ${rows[0]?.encoding}, the catalog needs UTF8: make ` +
        'it anew with ENCODING UTF8 TEMPLATE template0',
    );
  }
  const found = (await schemaOf(pool)) ?? (await create(pool));
  if (found <= POSTGRES_SCHEMA) return;
  throw new StatusError(
    Code.FAILED_PRECONDITION,
    `the catalog in ${shown} has schema ${found}, this version of Torus reads up to ` +
      `${POSTGRES_SCHEMA}: run the version that wrote it, or a newer one`,
  );
}

type Queries = Pick<Pool, 'query'>;

async function schemaOf(queries: Queries): Promise<number | undefined> {
  const there = await queries.query("SELECT to_regclass('torus_schema') IS NOT NULL AS there");
  if (there.rows[0]?.there !== true) return undefined;
  const { rows } = await queries.query('SELECT max(schema) AS schema FROM torus_schema');
  return Number(rows[0]?.schema);
}

async function create(pool: Pool): Promise<number> {
  const client = await pool.connect();
  // Without a listener, a connection that breaks here would end the process.
  const ignore = (): void => undefined;
  client.on('error', ignore);
  try {
    // Before the transaction, not in it: a session hears of others' new tables when it begins one,
    // and would else go by what it knew before it waited for the lock.
    await client.query(`SELECT pg_advisory_lock(${LOCK_KEY})`);
    await client.query('BEGIN');
    const found = await schemaOf(client);
    if (found === undefined) await client.query(CREATE);
    await client.query('COMMIT');
    await client.query(`SELECT pg_advisory_unlock(${LOCK_KEY})`);
    client.release();
    return found ?? POSTGRES_SCHEMA;
  } catch (thrown) {
    // The lock goes with its session.
    client.release(true);
    throw thrown;
  } finally {
    client.off('error', ignore);
  }
}
