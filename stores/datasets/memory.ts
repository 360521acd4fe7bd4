// Data sets in memory: for tests and simulation. Nothing outlives the process.
import { isDeepStrictEqual } from 'node:util';
import { unavailable } from '../../common/status.ts';
import type {
  Column,
  ColumnBatch,
  DatasetStore,
  RejectedRow,
  Row,
  RowBatch,
  RowCounts,
  ScanOptions,
  Value,
} from './datasets.ts';
import {
  checkBatch,
  checkListLimit,
  checkOffset,
  checkVersion,
  columnsAsked,
  cutRaw,
  int64,
  isSealed,
  noSuchVersion,
  otherSchema,
  scanRows,
} from './limits.ts';

interface Held {
  readonly columns: readonly Column[];
  readonly rows: Row[];
  readonly rejected: RejectedRow[];
  readonly offsets: Map<string, string>;
  isSealed: boolean;
}

export class MemoryDatasets implements DatasetStore {
  readonly #versions = new Map<string, Held>();
  #isClosed = false;

  async create(id: string, version: number, columns: readonly Column[]): Promise<void> {
    this.#checkOpen();
    checkVersion(id, version, columns);
    const there = this.#versions.get(keyOf(id, version));
    if (there === undefined) {
      const held = { columns, rows: [], rejected: [], offsets: new Map(), isSealed: false };
      this.#versions.set(keyOf(id, version), held);
    } else if (!isDeepStrictEqual(there.columns, columns)) {
      throw otherSchema(id, version);
    }
  }

  async append(id: string, version: number, batch: RowBatch): Promise<RowCounts> {
    const held = this.#held(id, version);
    if (held.isSealed) throw isSealed(id, version);
    checkBatch(held.columns, batch);
    checkOffset(batch, held.offsets.get(batch.source) ?? '');
    for (const row of batch.rows) held.rows.push([...row]);
    for (const row of batch.rejected) held.rejected.push(cutRaw(row));
    held.rejected.sort((a, b) => a.rowNumber - b.rowNumber);
    held.offsets.set(batch.source, batch.offset);
    return countsOf(held);
  }

  async counts(id: string, version: number): Promise<RowCounts> {
    return countsOf(this.#held(id, version));
  }

  async offset(id: string, version: number, source: string): Promise<string> {
    return this.#held(id, version).offsets.get(source) ?? '';
  }

  async seal(id: string, version: number): Promise<RowCounts> {
    const held = this.#held(id, version);
    held.isSealed = true;
    return countsOf(held);
  }

  async *scan(id: string, version: number, options?: ScanOptions): AsyncGenerator<ColumnBatch> {
    const held = this.#held(id, version);
    const asked = columnsAsked(held.columns, options);
    const batchRows = scanRows(options);
    const end = held.rows.length;
    for (let start = 0; start < end; start += batchRows) {
      if (this.#held(id, version) !== held) throw noSuchVersion(id, version);
      const rows = held.rows.slice(start, Math.min(end, start + batchRows));
      const columns = asked.map((at) => rows.map((row) => scanned(row[at])));
      yield { rowCount: rows.length, columns };
    }
  }

  async rejected(
    id: string,
    version: number,
    afterRow: number,
    limit: number,
  ): Promise<readonly RejectedRow[]> {
    const held = this.#held(id, version);
    checkListLimit(limit);
    return held.rejected.filter((row) => row.rowNumber > afterRow).slice(0, limit);
  }

  async remove(id: string, version: number): Promise<void> {
    this.#checkOpen();
    this.#versions.delete(keyOf(id, version));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #held(id: string, version: number): Held {
    this.#checkOpen();
    const held = this.#versions.get(keyOf(id, version));
    if (held === undefined) throw noSuchVersion(id, version);
    return held;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw unavailable('the data set store is closed');
  }
}

function keyOf(id: string, version: number): string {
  return `${id}/${version}`;
}

function countsOf(held: Held): RowCounts {
  return { accepted: held.rows.length, rejected: held.rejected.length };
}

function scanned(value: Value | undefined): Value {
  return typeof value === 'bigint' ? int64(value) : (value ?? null);
}
