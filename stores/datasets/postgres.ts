// Data sets in PostgreSQL: for a cluster whose control, ingest and trainers are processes of their
// own. Appends to a version take its row in the table of versions one after the other, so that rows
// stay in order and offsets are compared and set; other versions go on beside them. How rows lie:
// postgres-tables.ts.
import { isDeepStrictEqual } from 'node:util';
import type { QueryResult } from 'pg';
import { isName } from '../../common/names.ts';
import { unavailable } from '../../common/status.ts';
import {
  openPostgresDatabase,
  type PostgresDatabase,
  type PostgresOptions,
  type Session,
} from '../postgres/postgres-database.ts';
import { isTableGone } from '../postgres/postgres-error.ts';
import type {
  Column,
  ColumnBatch,
  DatasetStore,
  RejectedRow,
  RowBatch,
  RowCounts,
  ScanOptions,
} from './datasets.ts';
import {
  checkBatch,
  checkListLimit,
  checkOffset,
  checkVersion,
  columnsAsked,
  isSealed,
  noSuchVersion,
  otherSchema,
  scanRows,
} from './limits.ts';
import { type HeldRows, insertRejected, insertRows, readBlocks } from './postgres-rows.ts';
import {
  createVersionTables,
  DATASET_TABLES,
  given,
  kept,
  rejectedTable,
  rowsTable,
} from './postgres-tables.ts';
import { RowBatches } from './row-batches.ts';

/** Makes its tables when they are not there. @throws as openPostgresDatabase does */
export async function openPostgresDatasets(
  url: string,
  options?: PostgresOptions,
): Promise<DatasetStore> {
  return new PostgresDatasets(await openPostgresDatabase(url, DATASET_TABLES, options));
}

interface Held extends RowCounts, HeldRows {
  readonly isSealed: boolean;
}

const FIND = `SELECT table_number, columns, is_sealed, accepted, rejected, size_bytes
  FROM torus_dataset_versions WHERE id = $1 AND version = $2`;

class PostgresDatasets implements DatasetStore {
  readonly #database: PostgresDatabase;

  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  async create(id: string, version: number, columns: readonly Column[]): Promise<void> {
    this.#database.checkOpen();
    checkVersion(id, version, columns);
    await this.#database.transaction(`make ${shown(id, version)}`, async (session) => {
      // Waits for another that makes the same.
      const { rows } = await session.query(
        `INSERT INTO torus_dataset_versions (id, version, columns) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING RETURNING table_number`,
        [id, version, JSON.stringify(columns)],
      );
      if (rows[0] !== undefined) {
        await session.query(createVersionTables(Number(rows[0].table_number)));
        return;
      }
      const there = await lock(session, id, version);
      if (there === undefined) throw unavailable(`${shown(id, version)} was removed: try again`);
      if (!isDeepStrictEqual(there.columns, columns)) throw otherSchema(id, version);
    });
  }

  async append(id: string, version: number, batch: RowBatch): Promise<RowCounts> {
    this.#database.checkOpen();
    const doing = `append rows to ${shown(id, version)}`;
    return await this.#database.transaction(doing, async (session) => {
      const held = await lock(session, id, version);
      if (held === undefined) throw noSuchVersion(id, version);
      if (held.isSealed) throw isSealed(id, version);
      checkBatch(held.columns, batch);
      const source = kept(batch.source);
      const { rows } = await session.query(
        'SELECT position FROM torus_dataset_offsets WHERE table_number = $1 AND source = $2',
        [held.table, source],
      );
      checkOffset(batch, rows[0] === undefined ? '' : given(rows[0].position));
      const sizeBytes = await insertRows(session, held, batch.rows);
      await insertRejected(session, held.table, batch.rejected);
      await session.query(
        `INSERT INTO torus_dataset_offsets VALUES ($1, $2, $3)
         ON CONFLICT (table_number, source) DO UPDATE SET position = $3`,
        [held.table, source, kept(batch.offset)],
      );
      const accepted = held.accepted + batch.rows.length;
      const rejected = held.rejected + batch.rejected.length;
      await session.query(
        `UPDATE torus_dataset_versions SET accepted = $3, rejected = $4, size_bytes = $5
         WHERE id = $1 AND version = $2`,
        [id, version, accepted, rejected, sizeBytes],
      );
      return { accepted, rejected };
    });
  }

  async counts(id: string, version: number): Promise<RowCounts> {
    const { accepted, rejected } = await this.#get(id, version);
    return { accepted, rejected };
  }

  async offset(id: string, version: number, source: string): Promise<string> {
    const { table } = await this.#get(id, version);
    const { rows } = await this.#database.read(
      `read ${shown(id, version)}`,
      'SELECT position FROM torus_dataset_offsets WHERE table_number = $1 AND source = $2',
      [table, kept(source)],
    );
    return rows[0] === undefined ? '' : given(rows[0].position);
  }

  async seal(id: string, version: number): Promise<RowCounts> {
    this.#database.checkOpen();
    return await this.#database.transaction(`seal ${shown(id, version)}`, async (session) => {
      const held = await lock(session, id, version);
      if (held === undefined) throw noSuchVersion(id, version);
      await session.query(
        'UPDATE torus_dataset_versions SET is_sealed = true WHERE id = $1 AND version = $2',
        [id, version],
      );
      return { accepted: held.accepted, rejected: held.rejected };
    });
  }

  async *scan(id: string, version: number, options?: ScanOptions): AsyncGenerator<ColumnBatch> {
    const held = await this.#get(id, version);
    const asked = columnsAsked(held.columns, options);
    const batches = new RowBatches(asked.length, scanRows(options));
    const place = { id, version, table: held.table };
    // Whether the version is there is looked at for each batch that is given out.
    let isStale = false;
    const read = (text: string, values: readonly unknown[]): Promise<QueryResult> => {
      isStale = false;
      return this.#readTable(place, text, values);
    };
    const look = (): Promise<unknown> => read(`SELECT 1 FROM ${rowsTable(held.table)} LIMIT 0`, []);
    for await (const block of readBlocks(held, asked, read)) {
      batches.push(block.columns, block.rowCount, block.sizeBytes);
      for (let batch = batches.take(); batch !== undefined; batch = batches.take()) {
        if (isStale) await look();
        yield batch;
        isStale = true;
      }
    }
    const rest = batches.rest();
    if (rest === undefined) return;
    if (isStale) await look();
    yield rest;
  }

  async rejected(
    id: string,
    version: number,
    afterRow: number,
    limit: number,
  ): Promise<readonly RejectedRow[]> {
    const { table } = await this.#get(id, version);
    checkListLimit(limit);
    const { rows } = await this.#readTable(
      { id, version, table },
      `SELECT row_number, reason, raw FROM ${rejectedTable(table)}
       WHERE row_number > $1 ORDER BY row_number, number LIMIT $2`,
      [afterRow, limit],
    );
    return rows.map((row) => ({
      rowNumber: Number(row.row_number),
      reason: given(row.reason),
      raw: given(row.raw),
    }));
  }

  async remove(id: string, version: number): Promise<void> {
    this.#database.checkOpen();
    if (!canBe(id, version)) return;
    await this.#database.transaction(`remove ${shown(id, version)}`, async (session) => {
      const { rows } = await session.query(
        `DELETE FROM torus_dataset_versions WHERE id = $1 AND version = $2
         RETURNING table_number`,
        [id, version],
      );
      if (rows[0] === undefined) return;
      const table = Number(rows[0].table_number);
      await session.query('DELETE FROM torus_dataset_offsets WHERE table_number = $1', [table]);
      await session.query(`DROP TABLE ${rowsTable(table)}, ${rejectedTable(table)}`);
    });
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  async #find(id: string, version: number): Promise<Held | undefined> {
    this.#database.checkOpen();
    if (!canBe(id, version)) return undefined;
    const doing = `read ${shown(id, version)}`;
    const { rows } = await this.#database.read(doing, FIND, [id, version]);
    return rows[0] === undefined ? undefined : heldOf(rows[0]);
  }

  async #get(id: string, version: number): Promise<Held> {
    const held = await this.#find(id, version);
    if (held === undefined) throw noSuchVersion(id, version);
    return held;
  }

  /** Reads a table of the version's own: one that is gone went with the version. */
  async #readTable(
    { id, version, table }: Place,
    text: string,
    values: readonly unknown[],
  ): Promise<QueryResult> {
    this.#database.checkOpen();
    try {
      return await this.#database.read(`read ${shown(id, version)}`, text, values);
    } catch (thrown) {
      if (!isTableGone(thrown)) throw thrown;
      const held = await this.#find(id, version);
      throw held?.table === table ? thrown : noSuchVersion(id, version);
    }
  }
}

/** A version's tables, which another of the same name does not have. */
interface Place {
  readonly id: string;
  readonly version: number;
  readonly table: number;
}

/** What no version is called is not asked for: not every text is one for PostgreSQL. */
function canBe(id: string, version: number): boolean {
  return isName(id) && Number.isSafeInteger(version);
}

/** Until the transaction ends, nobody else appends to the version, seals or removes it. */
async function lock(session: Session, id: string, version: number): Promise<Held | undefined> {
  if (!canBe(id, version)) return undefined;
  const { rows } = await session.query(`${FIND} FOR UPDATE`, [id, version]);
  return rows[0] === undefined ? undefined : heldOf(rows[0]);
}

function heldOf(row: Record<string, unknown>): Held {
  return {
    table: Number(row.table_number),
    columns: JSON.parse(String(row.columns)) as Column[],
    isSealed: row.is_sealed === true,
    accepted: Number(row.accepted),
    rejected: Number(row.rejected),
    sizeBytes: Number(row.size_bytes),
  };
}

function shown(id: string, version: number): string {
  return `version ${version} of data set ${id}`;
}
