// Rows on their way into the store, in batches of bounded size. Each batch carries its source's
// offset, so that after a crash the records that were committed are skipped and each counts once.
// The offset is `read/rejected`, both as of that batch.
import { setImmediate } from 'node:timers/promises';
import { Code, StatusError } from '../../common/status.ts';
import type { DatasetStore, RejectedRow, Row } from '../../stores/datasets/datasets.ts';
import { MAX_RAW_CHARACTERS } from '../../stores/datasets/datasets.ts';
import type { Convert } from './convert.ts';
import type { DataRecord } from './record.ts';

/**
 * A batch is closed by the first of these: they bound memory. Each batch is a commit, which costs
 * the store as much for few rows as for many: 0.05 ms a column (measured) and a sync of the disk.
 */
const MAX_BATCH_RECORDS = 10_000;
const MAX_BATCH_CELLS = 1_000_000;
const MAX_BATCH_CHARACTERS = 8 * 1024 * 1024;
/** A text of a file can't grow the store's reasons without bound. */
const MAX_REASON_CHARACTERS = 1_000;

export interface ReadCounts {
  /** accepted + rejected. */
  readonly read: number;
  readonly accepted: number;
  readonly rejected: number;
}

export interface RowWriterOptions {
  readonly store: DatasetStore;
  readonly dataset: string;
  readonly version: number;
  readonly sourceName: string;
  readonly columnCount: number;
  readonly convert: Convert;
  /** After each batch; what it throws ends the import. */
  readonly onBatch: (counts: ReadCounts) => Promise<void> | void;
}

/** Goes on where the source has come to. @throws NOT_FOUND when the version is not there. */
export async function openRowWriter(options: RowWriterOptions): Promise<RowWriter> {
  const { store, dataset, version, sourceName } = options;
  return new RowWriter(options, await store.offset(dataset, version, sourceName));
}

class RowWriter {
  readonly #options: RowWriterOptions;
  readonly #batchRecords: number;
  /** Records that are committed, and so are to be skipped. */
  readonly #skip: number;
  #offset: string;
  #read = 0;
  #rejectedCount: number;
  #rows: Row[] = [];
  #rejected: RejectedRow[] = [];
  #characters = 0;

  constructor(options: RowWriterOptions, offset: string) {
    this.#options = options;
    const fitting = Math.floor(MAX_BATCH_CELLS / options.columnCount);
    this.#batchRecords = Math.min(MAX_BATCH_RECORDS, Math.max(1, fitting));
    this.#offset = offset;
    [this.#skip, this.#rejectedCount] = parseOffset(offset);
  }

  async take(records: readonly DataRecord[]): Promise<void> {
    for (const record of records) {
      this.#read += 1;
      if (this.#read <= this.#skip) continue;
      this.#add(record);
      const isFull =
        this.#rows.length + this.#rejected.length >= this.#batchRecords ||
        this.#characters >= MAX_BATCH_CHARACTERS;
      if (isFull) await this.#flush();
    }
    // Also where nothing was written: skipping what is committed must not hold the event loop.
    await setImmediate();
  }

  /** Commits what is left. @throws FAILED_PRECONDITION when the file has become shorter. */
  async finish(): Promise<ReadCounts> {
    if (this.#read < this.#skip) {
      throw new StatusError(
        Code.FAILED_PRECONDITION,
        `${this.#skip} records were read from ${this.#options.sourceName} before, now it has ` +
          `${this.#read}: it is another file`,
      );
    }
    if (this.#rows.length + this.#rejected.length > 0) await this.#flush();
    return this.#counts();
  }

  #add(record: DataRecord): void {
    const rowNumber = this.#read;
    const converted = this.#options.convert(record, rowNumber);
    this.#characters += record.raw.length;
    if ('row' in converted) {
      this.#rows.push(converted.row);
      return;
    }
    const reason = converted.reason.slice(0, MAX_REASON_CHARACTERS);
    this.#rejected.push({ rowNumber, reason, raw: record.raw.slice(0, MAX_RAW_CHARACTERS + 1) });
    this.#rejectedCount += 1;
  }

  async #flush(): Promise<void> {
    const { store, dataset, version, sourceName, onBatch } = this.#options;
    const offset = `${this.#read}/${this.#rejectedCount}`;
    await store.append(dataset, version, {
      rows: this.#rows,
      rejected: this.#rejected,
      source: sourceName,
      offset,
      expectedOffset: this.#offset,
    });
    this.#offset = offset;
    this.#rows = [];
    this.#rejected = [];
    this.#characters = 0;
    await onBatch(this.#counts());
    await setImmediate();
  }

  #counts(): ReadCounts {
    const rejected = this.#rejectedCount;
    return { read: this.#read, accepted: this.#read - rejected, rejected };
  }
}

function parseOffset(offset: string): [number, number] {
  if (offset === '') return [0, 0];
  const parts = /^(\d+)\/(\d+)$/.exec(offset);
  if (parts !== null) return [Number(parts[1]), Number(parts[2])];
  throw new StatusError(Code.DATA_LOSS, `offset ${JSON.stringify(offset)} is none of an import`);
}
