// One DuckDB file, opened once: DuckDB locks it against other processes but not against a second
// opening in the same one, which would damage it. Makes our tables, checks their version, and gives
// a connection that does one thing at a time.
import { mkdir, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { failedPrecondition, unavailable } from '../../common/status.ts';
import { diskError } from '../disk-error.ts';
import { checkRoom, type FreeBytes, freeBytesOn } from '../disk-room.ts';
import { duckdbError, isFatal } from './duckdb-error.ts';
import { Turns } from './turns.ts';

/** Of our tables; a file with a newer one is refused. */
export const DUCKDB_SCHEMA = 2;

export interface DuckdbOptions {
  /** Memory that DuckDB may take before it uses the disk (default 512 MiB). */
  readonly memoryLimitBytes?: number;
  /** Threads of its queries (default 2). */
  readonly threads?: number;
  readonly freeBytes?: FreeBytes;
}

const CREATE = [
  'CREATE TABLE torus (schema INTEGER)',
  `INSERT INTO torus VALUES (${DUCKDB_SCHEMA})`,
  // Table numbers are never used again: a scan of a removed version can't read another's rows.
  'CREATE SEQUENCE table_numbers',
  `CREATE TABLE versions (id VARCHAR, version BIGINT, table_number BIGINT, columns VARCHAR,
     is_sealed BOOLEAN, accepted BIGINT, rejected BIGINT, layout VARCHAR)`,
  'CREATE TABLE offsets (table_number BIGINT, source VARCHAR, position VARCHAR)',
  'CREATE TABLE rejected (table_number BIGINT, row_number BIGINT, reason VARCHAR, raw VARCHAR)',
];

/** From the schema of that number to the next. */
const UPGRADES: Readonly<Record<number, string>> = {
  1: "ALTER TABLE versions ADD COLUMN layout VARCHAR DEFAULT 'columns'",
};

const DEFAULT_MEMORY_BYTES = 512 * 1024 ** 2;
/**
 * Of a file made now. DuckDB holds up to four blocks of each column of a table in memory (seen):
 * 64 MB for the widest table (duckdb-layout.ts). With less than this it packs no numbers: a million
 * rows of four small integers take 42 MB in blocks of 16 KiB, 5 MB in these, 6 MB in its default of
 * 256 KiB, in which small sets take twice the room.
 */
const BLOCK_BYTES = 64 * 1024;

const openPaths = new Set<string>();

/** Makes folder and file when absent. @throws StatusError that names the path. */
export async function openDuckdbFile(path: string, options?: DuckdbOptions): Promise<DuckdbFile> {
  const real = await realPath(path);
  if (openPaths.has(real)) {
    throw failedPrecondition(`this process has the data sets at ${path} open already`);
  }
  openPaths.add(real);
  let instance: DuckDBInstance | undefined;
  try {
    instance = await openInstance(real, options);
    const connection = await instance.connect();
    await migrate(connection, path);
    return new DuckdbFile({ path: real, options, instance, connection });
  } catch (thrown) {
    instance?.closeSync();
    openPaths.delete(real);
    throw duckdbError(thrown, `open the data sets at ${path}`, path);
  }
}

function openInstance(path: string, options: DuckdbOptions | undefined): Promise<DuckDBInstance> {
  return DuckDBInstance.create(path, {
    threads: String(options?.threads ?? 2),
    memory_limit: `${options?.memoryLimitBytes ?? DEFAULT_MEMORY_BYTES}B`,
    default_block_size: String(BLOCK_BYTES),
    // Nothing is ever fetched from the network.
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
}

async function realPath(path: string): Promise<string> {
  const folder = dirname(path);
  try {
    await mkdir(folder, { recursive: true });
    return join(await realpath(folder), basename(path));
  } catch (thrown) {
    throw diskError(thrown, 'make the folder of the data sets', folder);
  }
}

async function migrate(connection: DuckDBConnection, path: string): Promise<void> {
  const tables = await connection.runAndReadAll(
    "SELECT 1 FROM duckdb_tables() WHERE table_name = 'torus'",
  );
  if (tables.currentRowCount === 0) {
    await connection.run(`BEGIN TRANSACTION; ${CREATE.join('; ')}; COMMIT`);
    return;
  }
  const rows = await connection.runAndReadAll('SELECT schema FROM torus');
  const found = Number(rows.getRows()[0]?.[0]);
  if (found <= DUCKDB_SCHEMA) return await upgrade(connection, found);
  throw failedPrecondition(
    `the data sets at ${path} have schema ${found}, this version of Torus reads up to ` +
      `${DUCKDB_SCHEMA}: run the version that wrote them, or a newer one`,
  );
}

async function upgrade(connection: DuckDBConnection, from: number): Promise<void> {
  for (let schema = from; schema < DUCKDB_SCHEMA; schema += 1) {
    const steps = [UPGRADES[schema], `UPDATE torus SET schema = ${schema + 1}`];
    await connection.run(`BEGIN TRANSACTION; ${steps.join('; ')}; COMMIT`);
  }
}

interface Opened {
  readonly path: string;
  readonly options: DuckdbOptions | undefined;
  readonly instance: DuckDBInstance;
  readonly connection: DuckDBConnection;
}

export class DuckdbFile {
  readonly path: string;
  readonly #options: DuckdbOptions | undefined;
  readonly #freeBytes: FreeBytes;
  #instance: DuckDBInstance;
  #connection: DuckDBConnection;
  readonly #turns = new Turns();
  #isClosed = false;
  /** A fatal error closed it: DuckDB answers nothing more until it is opened again. */
  #isBroken = false;

  constructor({ path, options, instance, connection }: Opened) {
    this.path = path;
    this.#options = options;
    this.#freeBytes = options?.freeBytes ?? freeBytesOn;
    this.#instance = instance;
    this.#connection = connection;
  }

  /** @throws RESOURCE_EXHAUSTED when the disk has no room for more rows */
  checkRoom(): Promise<void> {
    return checkRoom(dirname(this.path), 0, this.#freeBytes);
  }

  /** Runs the action alone; its errors are translated. `doing` reads after "cannot". */
  run<Result>(
    doing: string,
    action: (connection: DuckDBConnection) => Promise<Result>,
  ): Promise<Result> {
    return this.#turns.take(async () => {
      if (this.#isClosed) throw unavailable('the data set store is closed');
      try {
        if (this.#isBroken) await this.#reopen();
        return await action(this.#connection);
      } catch (thrown) {
        this.#isBroken ||= isFatal(thrown);
        throw duckdbError(thrown, doing, this.path);
      }
    });
  }

  /** What was committed is in the file or its log, and there again. */
  async #reopen(): Promise<void> {
    this.#connection.closeSync();
    this.#instance.closeSync();
    this.#instance = await openInstance(this.path, this.#options);
    this.#connection = await this.#instance.connect();
    this.#isBroken = false;
  }

  /** All that the action does, or nothing; on the disk when it resolves. */
  transaction<Result>(
    doing: string,
    action: (connection: DuckDBConnection) => Promise<Result>,
  ): Promise<Result> {
    return this.run(doing, async (connection) => {
      await connection.run('BEGIN TRANSACTION');
      try {
        const result = await action(connection);
        await connection.run('COMMIT');
        return result;
      } catch (thrown) {
        // A failed commit has rolled back by itself, and then this fails: nothing more to do.
        await connection.run('ROLLBACK').catch(() => {});
        throw thrown;
      }
    });
  }

  /** Waits for what runs; what waits gets UNAVAILABLE. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#turns.take(async () => {
      this.#connection.closeSync();
      this.#instance.closeSync();
      openPaths.delete(this.path);
    });
  }
}
