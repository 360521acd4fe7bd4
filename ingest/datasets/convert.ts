// From what a file says to a value of a column, or the reason why it is none. Text (CSV) and typed
// values (JSON, Parquet) keep their own rules: "39.1" in JSON is text, not a number.
import type { Column, Row, Value } from '../../stores/datasets/datasets.ts';
import type { DataRecord, SourceObject } from './record.ts';

const MISSING = new Set(['', 'NA', 'N/A', 'NaN', 'nan', 'null', 'NULL']);
const INTEGER = /^[+-]?\d{1,19}$/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$/;
const MAX_SHOWN_CHARACTERS = 64;
const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** What stands for a missing value in a column that may miss one. */
export function isMissing(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  if (typeof value === 'string') return MISSING.has(value.trim());
  return Number.isNaN(value);
}

/** What kind of value a field that is not missing holds, for inference. */
export function textKind(field: string): 'integers' | 'floats' | 'booleans' | 'texts' {
  const text = field.trim();
  // 007 would lose its zeros as a number: it is a code.
  if (/^[+-]?0\d/.test(text)) return 'texts';
  if (INTEGER.test(text) && int64Of(text) !== undefined) return 'integers';
  if (NUMBER.test(text)) return 'floats';
  return booleanOf(text) === undefined ? 'texts' : 'booleans';
}

/** A row, or the reason why the record is none. */
export type Converted = { readonly row: Row } | { readonly reason: string };
export type Convert = (record: DataRecord, rowNumber: number) => Converted;

/** @param header of a format that has one; every column must be in it (see missingColumn). */
export function converter(
  columns: readonly Column[],
  header: readonly string[] | undefined,
): Convert {
  const positions = columns.map((column) => header?.indexOf(column.name) ?? -1);
  return (record, rowNumber) => {
    if (record.kind === 'bad') return { reason: `row ${rowNumber}: ${record.reason}` };
    if (record.kind === 'object') return fromObject(columns, record.object, rowNumber);
    const width = header?.length ?? 0;
    if (record.fields.length !== width) {
      const found = record.fields.length;
      return { reason: `row ${rowNumber} has ${found} fields, the header has ${width}` };
    }
    const row: Value[] = [];
    for (let at = 0; at < columns.length; at += 1) {
      const column = columns[at];
      const field = record.fields[positions[at] ?? -1];
      if (column === undefined || field === undefined) continue;
      const value = fromText(column, field);
      if (value === undefined) return { reason: reasonOf(rowNumber, column, field) };
      row.push(value);
    }
    return { row };
  };
}

/** The first column that the header lacks. */
export function missingColumn(
  columns: readonly Column[],
  header: readonly string[] | undefined,
): string | undefined {
  if (header === undefined) return undefined;
  return columns.find((column) => !header.includes(column.name))?.name;
}

function fromObject(
  columns: readonly Column[],
  object: SourceObject,
  rowNumber: number,
): Converted {
  const row: Value[] = [];
  for (const column of columns) {
    const isThere = Object.hasOwn(object, column.name);
    const found = isThere ? object[column.name] : null;
    const value = fromValue(column, found);
    if (value === undefined && !isThere) {
      const name = JSON.stringify(column.name);
      return { reason: `row ${rowNumber}: field ${name} is missing, expected is ${column.type}` };
    }
    if (value === undefined) return { reason: reasonOf(rowNumber, column, found) };
    row.push(value);
  }
  return { row };
}

function reasonOf(rowNumber: number, column: Column, found: unknown): string {
  const orMissing = column.isNullable ? ' or nothing' : '';
  return (
    `row ${rowNumber}, column ${JSON.stringify(column.name)}: ${shown(found)} found, ` +
    `expected is ${column.type}${orMissing}`
  );
}

function shown(found: unknown): string {
  if (Array.isArray(found)) return 'an array';
  if (typeof found === 'object' && found !== null) return 'an object';
  if (typeof found !== 'string') return String(found);
  if (!found.isWellFormed()) return 'text with half a character (a lone surrogate)';
  if (found.length <= MAX_SHOWN_CHARACTERS) return JSON.stringify(found);
  return `${JSON.stringify(found.slice(0, MAX_SHOWN_CHARACTERS))}...`;
}

/** Undefined: the field is no value of the column. */
export function fromText(column: Column, field: string): Value | undefined {
  const text = column.type === 'STRING' ? field : field.trim();
  if (column.isNullable && MISSING.has(text.trim())) return null;
  switch (column.type) {
    case 'STRING':
      return text;
    case 'FLOAT64':
      return NUMBER.test(text) ? finite(Number(text)) : undefined;
    case 'INT64':
      return int64Of(text.replace(/\.0+$/, ''));
    case 'BOOL':
      return booleanOf(text);
  }
}

/** Undefined: what was found is no value of the column. */
export function fromValue(column: Column, found: unknown): Value | undefined {
  if (isMissing(found) && column.isNullable) return null;
  switch (column.type) {
    case 'STRING':
      // JSON can write half a character (a lone surrogate), UTF-8 can't.
      if (typeof found === 'string') return found.isWellFormed() ? found : undefined;
      return ['number', 'bigint', 'boolean'].includes(typeof found) ? String(found) : undefined;
    case 'FLOAT64':
      if (typeof found !== 'number' && typeof found !== 'bigint') return undefined;
      return finite(Number(found));
    case 'INT64':
      if (typeof found === 'bigint') return inRange(found);
      // Above 2^53 JSON.parse has rounded it already.
      return typeof found === 'number' ? whole(found) : undefined;
    case 'BOOL':
      return typeof found === 'boolean' ? found : undefined;
  }
}

function finite(number: number): number | undefined {
  return Number.isFinite(number) ? number : undefined;
}

function int64Of(text: string): number | bigint | undefined {
  if (!INTEGER.test(text)) return undefined;
  // BigInt() takes a minus sign but no plus.
  return whole(Number(text)) ?? inRange(BigInt(text.replace('+', '')));
}

function whole(number: number): number | undefined {
  if (!Number.isSafeInteger(number)) return undefined;
  // There is no integer -0.
  return number === 0 ? 0 : number;
}

function inRange(value: bigint): number | bigint | undefined {
  return value >= INT64_MIN && value <= INT64_MAX ? value : undefined;
}

function booleanOf(text: string): boolean | undefined {
  const lower = text.toLowerCase();
  return lower === 'true' ? true : lower === 'false' ? false : undefined;
}
