// Rows as blocks of bytes, for databases that hold few columns, no NUL and wide rows badly: a run
// of rows, column by column, each in the least width that its values need. What is asked for is
// read without what lies beside it. Any database that holds bytes can hold them.
//
// A column of a block, all numbers little-endian:
//   uint32 bytes that follow; uint8 width of a value (WIDTHS), plus 128 when values are missing;
//   then, if so, a bit a row, the lowest first, set where one is missing;
//   then the values: of strings uint32 lengths in bytes and UTF-8, missing ones as 0.
import { Code, StatusError } from '../../common/status.ts';
import type { Column, Row, Value } from './datasets.ts';
import { int64 } from './limits.ts';

/** Of one block, at most. */
export const MAX_BLOCK_ROWS = 8_192;
/** Values of one block, but at least a row: some 10 ms to write or read. */
export const MAX_BLOCK_CELLS = 262_144;
/** Characters in strings of one block, but at least a row. */
export const MAX_BLOCK_CHARACTERS = 2 * 1024 ** 2;

const HAS_MISSING = 0x80;
const FLOAT = 0;
const STRING = 9;
/** Of an integer or boolean, in bytes: the least that holds all of a column in a block. */
const WIDTHS = [1, 2, 4, 8] as const;
type Width = (typeof WIDTHS)[number];

/** Cuts rows into runs that fit a block each: positions at which runs end. */
export function blockEnds(columns: readonly Column[], rows: readonly Row[]): number[] {
  const fitting = Math.max(1, Math.floor(MAX_BLOCK_CELLS / columns.length));
  const most = Math.min(MAX_BLOCK_ROWS, fitting);
  const strings = columns.flatMap(({ type }, at) => (type === 'STRING' ? [at] : []));
  const ends: number[] = [];
  let [start, characters] = [0, 0];
  rows.forEach((row, at) => {
    const size = strings.reduce((sum, column) => sum + String(row[column] ?? '').length, 0);
    if (at > start && (at - start === most || characters + size > MAX_BLOCK_CHARACTERS)) {
      ends.push(at);
      [start, characters] = [at, 0];
    }
    characters += size;
  });
  if (rows.length > 0) ends.push(rows.length);
  return ends;
}

/** @param first, end columns of the schema: those of `rows` that the bytes are to hold */
export function writeColumns(
  columns: readonly Column[],
  rows: readonly Row[],
  first: number,
  end: number,
): Buffer {
  const pieces: Buffer[] = [];
  for (let at = first; at < end; at += 1) {
    const values = rows.map((row) => row[at] ?? null);
    const bytes = writeColumn(columns[at]?.type ?? 'STRING', values);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.reduce((sum, piece) => sum + piece.length, 0));
    pieces.push(length, ...bytes);
  }
  return Buffer.concat(pieces);
}

function writeColumn(type: Column['type'], values: readonly Value[]): Buffer[] {
  const missing = writeMissing(values);
  const head = (kind: number): Buffer[] =>
    missing === undefined ? [Buffer.of(kind)] : [Buffer.of(kind | HAS_MISSING), missing];
  if (type === 'FLOAT64') {
    const bytes = Buffer.alloc(values.length * 8);
    values.forEach((value, at) => void bytes.writeDoubleLE(Number(value), at * 8));
    return [...head(FLOAT), bytes];
  }
  if (type === 'STRING') return [...head(STRING), ...writeStrings(values)];
  const width = widthOf(values);
  return [...head(width), writeIntegers(values, width)];
}

function writeMissing(values: readonly Value[]): Buffer | undefined {
  if (!values.includes(null)) return undefined;
  const bits = Buffer.alloc(Math.ceil(values.length / 8));
  values.forEach((value, at) => {
    if (value === null) bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
  });
  return bits;
}

function widthOf(values: readonly Value[]): Width {
  let [least, most] = [0, 0];
  for (const value of values) {
    const number = Number(value);
    if (number < least) least = number;
    if (number > most) most = number;
  }
  const fits = (width: Width): boolean =>
    least >= -(2 ** (width * 8 - 1)) && most < 2 ** (width * 8 - 1);
  return WIDTHS.find((width) => fits(width)) ?? 8;
}

function writeIntegers(values: readonly Value[], width: Width): Buffer {
  const bytes = Buffer.alloc(values.length * width);
  if (width === 8) {
    values.forEach((value, at) => void bytes.writeBigInt64LE(BigInt(value ?? 0), at * 8));
  } else {
    values.forEach((value, at) => void bytes.writeIntLE(Number(value), at * width, width));
  }
  return bytes;
}

function writeStrings(values: readonly Value[]): [Buffer, Buffer] {
  const lengths = Buffer.alloc(values.length * 4);
  const texts = values.map((value) => (value === null ? '' : String(value)));
  const total = texts.reduce((sum, text, at) => {
    const length = Buffer.byteLength(text);
    lengths.writeUInt32LE(length, at * 4);
    return sum + length;
  }, 0);
  const bytes = Buffer.alloc(total);
  let offset = 0;
  for (const text of texts) offset += bytes.write(text, offset);
  return [lengths, bytes];
}

/**
 * @param bytes of writeColumns
 * @param wanted positions among the columns that the bytes hold, ascending
 * @returns the values of each of them
 * @throws DATA_LOSS for bytes that are none of ours
 */
export function readColumns(
  columns: readonly Column[],
  bytes: Buffer,
  rowCount: number,
  wanted: readonly number[],
): Value[][] {
  const found: Value[][] = [];
  try {
    let [offset, at] = [0, 0];
    for (const position of wanted) {
      for (; at < position; at += 1) offset += 4 + bytes.readUInt32LE(offset);
      const start = offset + 4;
      const end = start + bytes.readUInt32LE(offset);
      if (end > bytes.length) throw new RangeError('it ends early');
      const type = columns[position]?.type ?? 'STRING';
      found.push(readColumn(type, bytes.subarray(start, end), rowCount));
    }
  } catch (thrown) {
    throw new StatusError(Code.DATA_LOSS, 'rows are damaged: restore them from a backup', {
      cause: thrown,
    });
  }
  return found;
}

function readColumn(type: Column['type'], bytes: Buffer, rowCount: number): Value[] {
  const head = bytes.readUInt8(0);
  const kind = head & ~HAS_MISSING;
  const missing = head === kind ? undefined : bytes.subarray(1, 1 + Math.ceil(rowCount / 8));
  const values = readValues(type, kind, bytes.subarray(1 + (missing?.length ?? 0)), rowCount);
  if (missing !== undefined) {
    for (let at = 0; at < rowCount; at += 1) {
      if (((missing[at >> 3] ?? 0) >> (at & 7)) & 1) values[at] = null;
    }
  }
  return values;
}

function readValues(type: Column['type'], kind: number, bytes: Buffer, rowCount: number): Value[] {
  const values = new Array<Value>(rowCount);
  if (kind === FLOAT) {
    for (let at = 0; at < rowCount; at += 1) values[at] = bytes.readDoubleLE(at * 8);
  } else if (kind === STRING) {
    let offset = rowCount * 4;
    for (let at = 0; at < rowCount; at += 1) {
      const end = offset + bytes.readUInt32LE(at * 4);
      if (end > bytes.length) throw new RangeError('a string ends early');
      values[at] = bytes.toString('utf8', offset, end);
      offset = end;
    }
  } else if (kind === 8) {
    for (let at = 0; at < rowCount; at += 1) values[at] = int64(bytes.readBigInt64LE(at * 8));
  } else if (type === 'BOOL') {
    for (let at = 0; at < rowCount; at += 1) values[at] = bytes.readInt8(at) === 1;
  } else {
    for (let at = 0; at < rowCount; at += 1) values[at] = bytes.readIntLE(at * kind, kind);
  }
  return values;
}
