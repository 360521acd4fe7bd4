// Rows of data sets. Good rows, rejected rows and the source's offset of one batch are committed
// together, so that accepted + rejected = read holds at every moment, crashes included.

export const COLUMN_TYPES = ['FLOAT64', 'INT64', 'STRING', 'BOOL'] as const;
export type ColumnType = (typeof COLUMN_TYPES)[number];

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly isNullable: boolean;
}

/** INT64 within +-2^53 may come as number, else bigint; FLOAT64 is never NaN or infinite (null). */
export type Value = number | bigint | string | boolean | null;
export type Row = readonly Value[];

export interface RejectedRow {
  /** From 1, as the source counts its records (a header is none). */
  readonly rowNumber: number;
  readonly reason: string;
  /** The record as it came, cut at MAX_RAW_CHARACTERS. */
  readonly raw: string;
}

export const MAX_RAW_CHARACTERS = 4_096;

export interface RowBatch {
  /** In the order of the schema's columns. */
  readonly rows: readonly Row[];
  readonly rejected: readonly RejectedRow[];
  /** Who read them (a job's or a stream partition's name) and how far it has come after them. */
  readonly source: string;
  readonly offset: string;
  /**
   * The offset it stood at before: '' at the start. Another one stored: ABORTED, nothing written.
   */
  readonly expectedOffset: string;
}

export interface RowCounts {
  readonly accepted: number;
  readonly rejected: number;
}

/** Values of one column, null where missing, for a run of rows. */
export interface ColumnBatch {
  readonly rowCount: number;
  /** As many as asked for, in that order; each rowCount long. */
  readonly columns: readonly (readonly Value[])[];
}

export interface ScanOptions {
  /** Names; all, in the order of the schema, when absent. */
  readonly columns?: readonly string[];
  /** Rows in a batch, at most (default 4,096, up to MAX_SCAN_ROWS); fewer where rows are wide. */
  readonly batchRows?: number;
}

/** A version is named by data set id and number. Rows come back in the order they were appended. */
export interface DatasetStore {
  /** Makes an empty, open version. @throws ALREADY_EXISTS when it is there with another schema. */
  create(id: string, version: number, columns: readonly Column[]): Promise<void>;
  /** All of the batch or nothing. @throws FAILED_PRECONDITION when sealed, NOT_FOUND. */
  append(id: string, version: number, batch: RowBatch): Promise<RowCounts>;
  counts(id: string, version: number): Promise<RowCounts>;
  /** '' when that source has committed nothing. */
  offset(id: string, version: number, source: string): Promise<string>;
  /** From then on immutable. Sealing twice is fine. */
  seal(id: string, version: number): Promise<RowCounts>;
  /** The rows that are there when it starts. */
  scan(id: string, version: number, options?: ScanOptions): AsyncIterable<ColumnBatch>;
  /** By row number, those after `afterRow`; at most `limit`, 1 to MAX_LIST_REJECTED. */
  rejected(
    id: string,
    version: number,
    afterRow: number,
    limit: number,
  ): Promise<readonly RejectedRow[]>;
  /** Removing what is not there is fine; a scan that is under way ends with NOT_FOUND. */
  remove(id: string, version: number): Promise<void>;
  close(): Promise<void>;
}
