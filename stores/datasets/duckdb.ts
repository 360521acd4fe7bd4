// Data sets in one DuckDB file, a table for each version with a row number of our own, so that rows
// come back in the order they came. Names never reach SQL text: tables are rows_1, rows_2, ...; how
// values lie in them is duckdb-layout.ts, the schema is kept beside them.

import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { BIGINT, type DuckDBConnection, DuckDBDataChunk, type DuckDBValue } from '@duckdb/node-api';
import type {
  Column,
  ColumnBatch,
  DatasetStore,
  RejectedRow,
  Row,
  RowBatch,
  RowCounts,
  ScanOptions,
} from './datasets.ts';
import { type DuckdbFile, type DuckdbOptions, openDuckdbFile } from './duckdb-file.ts';
import { type Layout, layoutNameFor, layoutOf } from './duckdb-layout.ts';
import {
  checkBatch,
  checkListLimit,
  checkOffset,
  checkVersion,
  columnsAsked,
  cutRaw,
  isSealed,
  noSuchVersion,
  otherSchema,
  scanRows,
} from './limits.ts';

/** Values that are appended before others may use the event loop: some 10 ms. */
const MAX_STEP_CELLS = 20_000;

/**
 * Values of one batch of a scan: they bound memory and the time away from the event loop. 4,096
 * rows of 4,096 columns in one piece took 0.9 GB and 20 s.
 */
const MAX_SCAN_CELLS = 500_000;
/** Rows of a data chunk, at most (DuckDB's vector size). */
const MAX_CHUNK_ROWS = 2_048;

/** Makes folder and file when absent. @throws StatusError that names the path. */
export async function openDuckdbDatasets(
  path: string,
  options?: DuckdbOptions,
): Promise<DatasetStore> {
  return new DuckdbDatasets(await openDuckdbFile(path, options));
}

interface Held extends RowCounts {
  readonly table: bigint;
  readonly columns: readonly Column[];
  readonly layout: Layout;
  readonly isSealed: boolean;
}

class DuckdbDatasets implements DatasetStore {
  readonly #file: DuckdbFile;

  constructor(file: DuckdbFile) {
    this.#file = file;
  }

  async create(id: string, version: number, columns: readonly Column[]): Promise<void> {
    checkVersion(id, version, columns);
    await this.#file.transaction(`make ${shown(id, version)}`, async (connection) => {
      const there = await find(connection, id, version);
      if (there !== undefined) {
        if (isDeepStrictEqual(there.columns, columns)) return;
        throw otherSchema(id, version);
      }
      const [[table] = []] = await rowsOf(connection, "SELECT nextval('table_numbers')", []);
      const name = layoutNameFor(columns);
      const { sql } = layoutOf(name, columns);
      await connection.run(`CREATE TABLE rows_${table} (row_index BIGINT, ${sql})`);
      await connection.run('INSERT INTO versions VALUES (?, ?, ?, ?, false, 0, 0, ?)', [
        id,
        BigInt(version),
        BigInt(String(table)),
        JSON.stringify(columns),
        name,
      ]);
    });
  }

  async append(id: string, version: number, batch: RowBatch): Promise<RowCounts> {
    await this.#file.checkRoom();
    return this.#file.transaction(`append rows to ${shown(id, version)}`, async (connection) => {
      const held = await get(connection, id, version);
      if (held.isSealed) throw isSealed(id, version);
      checkBatch(held.columns, batch);
      checkOffset(batch, (await offsetOf(connection, held, batch.source)) ?? '');
      await appendRows(connection, held, batch.rows);
      await appendRejected(connection, held, batch.rejected);
      await putOffset(connection, held, batch);
      const accepted = held.accepted + batch.rows.length;
      const rejected = held.rejected + batch.rejected.length;
      await connection.run(
        'UPDATE versions SET accepted = ?, rejected = ? WHERE table_number = ?',
        [BigInt(accepted), BigInt(rejected), held.table],
      );
      return { accepted, rejected };
    });
  }

  async counts(id: string, version: number): Promise<RowCounts> {
    const held = await this.#file.run(`read ${shown(id, version)}`, (connection) =>
      get(connection, id, version),
    );
    return countsOf(held);
  }

  async offset(id: string, version: number, source: string): Promise<string> {
    return this.#file.run(`read ${shown(id, version)}`, async (connection) => {
      const held = await get(connection, id, version);
      return (await offsetOf(connection, held, source)) ?? '';
    });
  }

  async seal(id: string, version: number): Promise<RowCounts> {
    return this.#file.transaction(`seal ${shown(id, version)}`, async (connection) => {
      const held = await get(connection, id, version);
      const sql = 'UPDATE versions SET is_sealed = true WHERE table_number = ?';
      if (!held.isSealed) await connection.run(sql, [held.table]);
      return countsOf(held);
    });
  }

  async *scan(id: string, version: number, options?: ScanOptions): AsyncGenerator<ColumnBatch> {
    const held = await this.#file.run(`read ${shown(id, version)}`, (connection) =>
      get(connection, id, version),
    );
    const asked = columnsAsked(held.columns, options);
    const fitting = Math.max(1, Math.floor(MAX_SCAN_CELLS / Math.max(1, asked.length)));
    const batchRows = Math.min(scanRows(options), fitting);
    // Ranges of the row number, which DuckDB finds by its zone maps: no sort, no open cursor, and
    // only one batch in memory.
    const selection = held.layout.select(asked);
    const sql = `SELECT ${['row_index', selection.sql].filter((part) => part !== '').join(', ')}
      FROM rows_${held.table} WHERE row_index >= ? AND row_index < ? ORDER BY row_index`;
    for (let start = 0; start < held.accepted; start += batchRows) {
      const end = Math.min(held.accepted, start + batchRows);
      const [, ...columns] = await this.#file.run(
        `read ${shown(id, version)}`,
        async (connection) => {
          const { table } = await get(connection, id, version);
          if (table !== held.table) throw noSuchVersion(id, version);
          const result = await connection.run(sql, [BigInt(start), BigInt(end)]);
          return result.getColumns();
        },
      );
      yield { rowCount: end - start, columns: selection.read(columns) };
    }
  }

  async rejected(
    id: string,
    version: number,
    afterRow: number,
    limit: number,
  ): Promise<readonly RejectedRow[]> {
    checkListLimit(limit);
    return this.#file.run(`read ${shown(id, version)}`, async (connection) => {
      const held = await get(connection, id, version);
      const rows = await rowsOf(
        connection,
        `SELECT row_number, reason, raw FROM rejected
         WHERE table_number = ? AND row_number > ? ORDER BY row_number LIMIT ?`,
        [held.table, afterRow, limit],
      );
      return rows.map(([rowNumber, reason, raw]) => ({
        rowNumber: Number(rowNumber),
        reason: String(reason),
        raw: String(raw),
      }));
    });
  }

  async remove(id: string, version: number): Promise<void> {
    await this.#file.transaction(`remove ${shown(id, version)}`, async (connection) => {
      const held = await find(connection, id, version);
      if (held === undefined) return;
      await connection.run(`DROP TABLE rows_${held.table}`);
      for (const table of ['versions', 'offsets', 'rejected']) {
        await connection.run(`DELETE FROM ${table} WHERE table_number = ?`, [held.table]);
      }
    });
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function shown(id: string, version: number): string {
  return `version ${version} of data set ${id}`;
}

async function rowsOf(
  connection: DuckDBConnection,
  sql: string,
  values: DuckDBValue[],
): Promise<DuckDBValue[][]> {
  const reader = await connection.runAndReadAll(sql, values);
  return reader.getRows();
}

async function find(
  connection: DuckDBConnection,
  id: string,
  version: number,
): Promise<Held | undefined> {
  const [row] = await rowsOf(
    connection,
    `SELECT table_number, columns, is_sealed, accepted, rejected, layout FROM versions
     WHERE id = ? AND version = ?`,
    [id, version],
  );
  if (row === undefined) return undefined;
  const [table, schema, sealed, accepted, rejected, layout] = row;
  const columns = JSON.parse(String(schema)) as Column[];
  return {
    table: BigInt(String(table)),
    columns,
    layout: layoutOf(layout === 'lists' ? 'lists' : 'columns', columns),
    isSealed: sealed === true,
    accepted: Number(accepted),
    rejected: Number(rejected),
  };
}

async function get(connection: DuckDBConnection, id: string, version: number): Promise<Held> {
  const held = await find(connection, id, version);
  if (held === undefined) throw noSuchVersion(id, version);
  return held;
}

/** Undefined when that source has committed nothing. */
async function offsetOf(
  connection: DuckDBConnection,
  held: Held,
  source: string,
): Promise<string | undefined> {
  const sql = 'SELECT position FROM offsets WHERE table_number = ? AND source = ?';
  const [row] = await rowsOf(connection, sql, [held.table, source]);
  return row === undefined ? undefined : String(row[0]);
}

async function putOffset(
  connection: DuckDBConnection,
  held: Held,
  { source, offset }: RowBatch,
): Promise<void> {
  const isThere = (await offsetOf(connection, held, source)) !== undefined;
  const sql = isThere
    ? 'UPDATE offsets SET position = ? WHERE table_number = ? AND source = ?'
    : 'INSERT INTO offsets (position, table_number, source) VALUES (?, ?, ?)';
  await connection.run(sql, [offset, held.table, source]);
}

async function appendRows(
  connection: DuckDBConnection,
  held: Held,
  rows: readonly Row[],
): Promise<void> {
  if (rows.length === 0) return;
  const { layout } = held;
  const appender = await connection.createAppender(`rows_${held.table}`);
  const fitting = Math.floor(MAX_STEP_CELLS / held.columns.length);
  const stepRows = Math.max(1, Math.min(MAX_CHUNK_ROWS, fitting));
  try {
    for (let start = 0; start < rows.length; start += stepRows) {
      const some = rows.slice(start, start + stepRows);
      const indexes = some.map((_, at) => BigInt(held.accepted + start + at));
      const chunk = DuckDBDataChunk.create([BIGINT, ...layout.types], some.length);
      chunk.setColumns([indexes, ...layout.write(some)]);
      appender.appendDataChunk(chunk);
      await setImmediate();
    }
  } finally {
    appender.closeSync();
  }
}

async function appendRejected(
  connection: DuckDBConnection,
  held: Held,
  rows: readonly RejectedRow[],
): Promise<void> {
  if (rows.length === 0) return;
  const appender = await connection.createAppender('rejected');
  try {
    for (const row of rows) {
      appender.appendBigInt(held.table);
      appender.appendBigInt(BigInt(row.rowNumber));
      appender.appendVarchar(row.reason);
      appender.appendVarchar(cutRaw(row).raw);
      appender.endRow();
    }
  } finally {
    appender.closeSync();
  }
}

function countsOf({ accepted, rejected }: RowCounts): RowCounts {
  return { accepted, rejected };
}
