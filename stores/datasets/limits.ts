// What every data set store asks of columns, batches and scans before it does anything, and the
// errors that mean the same in each.
import { checkName } from '../../common/names.ts';
import {
  Code,
  failedPrecondition,
  invalidArgument,
  notFound,
  StatusError,
} from '../../common/status.ts';
import {
  type Column,
  MAX_RAW_CHARACTERS,
  type RejectedRow,
  type Row,
  type RowBatch,
  type ScanOptions,
  type Value,
} from './datasets.ts';

/** A wider schema is INVALID_ARGUMENT: such data is a tensor in one column, not columns. */
export const MAX_COLUMNS = 4_096;
/** Column names become tensor names; a longer one is INVALID_ARGUMENT. */
export const MAX_COLUMN_NAME_CHARACTERS = 256;
/** The schema as JSON: it goes into documents, which are small. Longer is INVALID_ARGUMENT. */
export const MAX_SCHEMA_BYTES = 240 * 1024;
/** Rows and rejected rows of one append; more is INVALID_ARGUMENT. Bounds memory and a commit. */
export const MAX_APPEND_ROWS = 65_536;
export const DEFAULT_SCAN_ROWS = 4_096;
export const MAX_SCAN_ROWS = 65_536;
/** The most that one call for rejected rows returns. */
export const MAX_LIST_REJECTED = 1_000;

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

export function checkVersion(id: string, version: number, columns: readonly Column[]): void {
  checkName('data set', id);
  if (!(Number.isSafeInteger(version) && version >= 1)) {
    throw invalidArgument(`data set version ${version} is not allowed: it must be 1 or more`);
  }
  checkColumns(id, columns);
}

/** @throws INVALID_ARGUMENT for a schema that no data set can have. */
export function checkColumns(id: string, columns: readonly Column[]): void {
  if (columns.length === 0 || columns.length > MAX_COLUMNS) {
    throw invalidArgument(
      `a data set has 1 to ${MAX_COLUMNS} columns, not ${columns.length}: data set ${id}`,
    );
  }
  const names = new Set<string>();
  for (const { name } of columns) {
    if (name === '') throw invalidArgument(`a column of data set ${id} has no name`);
    if (name.length > MAX_COLUMN_NAME_CHARACTERS) {
      const start = JSON.stringify(name.slice(0, 32));
      throw invalidArgument(
        `a column name has ${MAX_COLUMN_NAME_CHARACTERS} characters at most: ${start}... is longer`,
      );
    }
    if (names.has(name)) throw invalidArgument(`data set ${id} has two columns named ${name}`);
    names.add(name);
  }
  const sizeBytes = Buffer.byteLength(JSON.stringify(columns));
  if (sizeBytes > MAX_SCHEMA_BYTES) {
    throw invalidArgument(
      `the schema of data set ${id} takes ${sizeBytes} bytes, at most ${MAX_SCHEMA_BYTES} are ` +
        'kept: use fewer columns or shorter names',
    );
  }
}

export function noSuchVersion(id: string, version: number): StatusError {
  return notFound(`data set ${id} has no version ${version} with rows`);
}

export function otherSchema(id: string, version: number): StatusError {
  const message = `version ${version} of data set ${id} is there with another schema`;
  return new StatusError(Code.ALREADY_EXISTS, message);
}

export function isSealed(id: string, version: number): StatusError {
  return failedPrecondition(`version ${version} of data set ${id} is sealed: make a new version`);
}

/** @throws INVALID_ARGUMENT naming row and column of the first value that does not fit. */
export function checkBatch(columns: readonly Column[], batch: RowBatch): void {
  if (Math.max(batch.rows.length, batch.rejected.length) > MAX_APPEND_ROWS) {
    throw invalidArgument(`one append takes ${MAX_APPEND_ROWS} rows at most: send several`);
  }
  if (batch.source === '') throw invalidArgument('a batch must name its source');
  batch.rows.forEach((row, index) => {
    checkRow(columns, row, index);
  });
}

function checkRow(columns: readonly Column[], row: Row, index: number): void {
  if (row.length !== columns.length) {
    throw invalidArgument(
      `row ${index} of the batch has ${row.length} values, the schema ${columns.length} columns`,
    );
  }
  for (let at = 0; at < columns.length; at += 1) {
    const column = columns[at];
    const value = row[at];
    if (column === undefined || value === undefined || !fits(column, value)) {
      const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 64)) : String(value);
      throw invalidArgument(
        `row ${index} of the batch has ${shown} in column ${column?.name}, which holds ` +
          `${column?.type}${column?.isNullable === true ? ' or null' : ''}`,
      );
    }
  }
}

function fits(column: Column, value: Value): boolean {
  if (value === null) return column.isNullable;
  switch (column.type) {
    case 'FLOAT64':
      return typeof value === 'number' && Number.isFinite(value);
    case 'INT64':
      if (typeof value === 'number') return Number.isSafeInteger(value);
      return typeof value === 'bigint' && value >= INT64_MIN && value <= INT64_MAX;
    case 'STRING':
      return typeof value === 'string';
    case 'BOOL':
      return typeof value === 'boolean';
  }
}

export function checkOffset(batch: RowBatch, stored: string): void {
  if (batch.expectedOffset === stored) return;
  throw new StatusError(
    Code.ABORTED,
    `${batch.source} expected to stand at offset ${JSON.stringify(batch.expectedOffset)} but ` +
      `stands at ${JSON.stringify(stored)}: another worker has gone on, read the offset again`,
  );
}

/** The record as it is kept: never more than MAX_RAW_CHARACTERS. */
export function cutRaw(row: RejectedRow): RejectedRow {
  if (row.raw.length <= MAX_RAW_CHARACTERS) return row;
  // A cut through a surrogate pair would leave half a character.
  const raw = row.raw.slice(0, MAX_RAW_CHARACTERS);
  return { ...row, raw: raw.isWellFormed() ? raw : raw.slice(0, -1) };
}

/** INT64 that a number holds exactly comes as number, from whatever it was kept. */
export function int64(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Positions of the columns asked for. @throws INVALID_ARGUMENT for a name that is not there. */
export function columnsAsked(columns: readonly Column[], options?: ScanOptions): number[] {
  if (options?.columns === undefined) return columns.map((_, index) => index);
  return options.columns.map((name) => {
    const index = columns.findIndex((column) => column.name === name);
    if (index >= 0) return index;
    const names = columns.slice(0, 20).map((column) => column.name);
    const more = columns.length > names.length ? ', ...' : '';
    throw invalidArgument(`there is no column ${name}: there are ${names.join(', ')}${more}`);
  });
}

export function scanRows(options?: ScanOptions): number {
  const batchRows = options?.batchRows ?? DEFAULT_SCAN_ROWS;
  if (Number.isInteger(batchRows) && batchRows >= 1 && batchRows <= MAX_SCAN_ROWS) return batchRows;
  throw invalidArgument(`a scan takes 1 to ${MAX_SCAN_ROWS} rows at a time, not ${batchRows}`);
}

export function checkListLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIST_REJECTED) return;
  throw invalidArgument(`limit ${limit} is not allowed: it must be 1 to ${MAX_LIST_REJECTED}`);
}
