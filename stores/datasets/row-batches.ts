// Batches of a scan, of the size asked for, out of blocks of any size.
import type { ColumnBatch, Value } from './datasets.ts';

/** Values of one batch: they bound memory and the time away from the event loop. */
const MAX_BATCH_CELLS = 500_000;
/** Bytes, as they are kept, of the blocks that one batch is made of, but at least a block. */
const MAX_BATCH_BYTES = 16 * 1024 ** 2;

export class RowBatches {
  readonly #batchRows: number;
  readonly #columns: Value[][];
  #sizeBytes = 0;
  /** Of the first row that was not taken. */
  #start = 0;
  #end = 0;

  constructor(columnCount: number, batchRows: number) {
    const fitting = Math.floor(MAX_BATCH_CELLS / Math.max(1, columnCount));
    this.#batchRows = Math.max(1, Math.min(batchRows, fitting));
    this.#columns = Array.from({ length: columnCount }, () => []);
  }

  push(columns: readonly (readonly Value[])[], rowCount: number, sizeBytes: number): void {
    if (this.#start > 0) {
      for (const [at, kept] of this.#columns.entries()) this.#columns[at] = kept.slice(this.#start);
      this.#end -= this.#start;
      this.#start = 0;
    }
    this.#columns.forEach((kept, at) => {
      for (const value of columns[at] ?? []) kept.push(value);
    });
    this.#end += rowCount;
    this.#sizeBytes += sizeBytes;
  }

  /** Undefined when there are not enough rows for a batch: what is left waits for more. */
  take(): ColumnBatch | undefined {
    const left = this.#end - this.#start;
    if (left >= this.#batchRows) return this.#cut(this.#batchRows);
    return left > 0 && this.#sizeBytes >= MAX_BATCH_BYTES ? this.#cut(left) : undefined;
  }

  /** What is left when no more blocks come. */
  rest(): ColumnBatch | undefined {
    const left = this.#end - this.#start;
    return left > 0 ? this.#cut(left) : undefined;
  }

  #cut(rowCount: number): ColumnBatch {
    const [start, end] = [this.#start, this.#start + rowCount];
    const columns = this.#columns.map((values) => values.slice(start, end));
    this.#start = end;
    if (end === this.#end) this.#sizeBytes = 0;
    return { rowCount, columns };
  }
}
