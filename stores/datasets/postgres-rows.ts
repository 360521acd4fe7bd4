// Rows of a version into its tables in PostgreSQL, and out again by a bounded number of bytes.
import type { QueryResult } from 'pg';
import { invalidArgument } from '../../common/status.ts';
import type { Session } from '../postgres/postgres-database.ts';
import type { Column, RejectedRow, Row, Value } from './datasets.ts';
import { cutRaw } from './limits.ts';
import { kept, partsOf, rejectedTable, rowsTable } from './postgres-tables.ts';
import { blockEnds, readColumns, writeColumns } from './row-blocks.ts';

/** Rejected rows of one statement: with raw texts of their longest some 4 MB. */
const MAX_INSERT_REJECTED = 1_000;
/**
 * Blocks that begin within so many bytes come with one statement, at least one. They are twice as
 * long on the wire, and in memory while they are read.
 */
const MAX_READ_BYTES = 4 * 1024 ** 2;
/** Of a block in a part: a row with more is INVALID_ARGUMENT. It is read as text twice as long. */
const MAX_PART_BYTES = 64 * 1024 ** 2;

/** A version as it was when it was looked at. */
export interface HeldRows {
  readonly table: number;
  readonly columns: readonly Column[];
  /** Of all blocks. */
  readonly sizeBytes: number;
}

/** @returns the bytes of all blocks after it */
export async function insertRows(
  session: Session,
  held: HeldRows,
  rows: readonly Row[],
): Promise<number> {
  const parts = partsOf(held.columns.length);
  const tuples = parts.map((_, part) => `($1, ${part}, $2, $3, $${part + 4})`);
  const text = `INSERT INTO ${rowsTable(held.table)} VALUES ${tuples.join(', ')}`;
  let [first, beginByte] = [0, held.sizeBytes];
  for (const end of blockEnds(held.columns, rows)) {
    const some = rows.slice(first, end);
    const bytes = parts.map((part) => writeColumns(held.columns, some, part.first, part.end));
    for (const { length } of bytes) checkSize(length, first);
    const endByte = bytes.reduce((sum, { length }) => sum + length, beginByte);
    await session.query(text, [beginByte, endByte, some.length, ...bytes]);
    [first, beginByte] = [end, endByte];
  }
  return beginByte;
}

function checkSize(sizeBytes: number, row: number): void {
  if (sizeBytes <= MAX_PART_BYTES) return;
  throw invalidArgument(
    `row ${row} of the batch takes ${sizeBytes} bytes in some columns, at most ${MAX_PART_BYTES} ` +
      'are kept: leave out what is so long, or keep it as an artifact',
  );
}

export async function insertRejected(
  session: Session,
  table: number,
  rejected: readonly RejectedRow[],
): Promise<void> {
  const text = `INSERT INTO ${rejectedTable(table)} (row_number, reason, raw)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])`;
  for (let start = 0; start < rejected.length; start += MAX_INSERT_REJECTED) {
    const some = rejected.slice(start, start + MAX_INSERT_REJECTED);
    await session.query(text, [
      some.map(({ rowNumber }) => rowNumber),
      some.map(({ reason }) => kept(reason)),
      some.map((row) => kept(cutRaw(row).raw)),
    ]);
  }
}

/** Values of some columns of a run of rows. */
export interface Block {
  readonly rowCount: number;
  readonly columns: readonly (readonly Value[])[];
  /** As they are kept. */
  readonly sizeBytes: number;
}

/**
 * The blocks that are there, in their order.
 * @param asked positions in the schema, in any order
 * @param read runs a statement, also when it comes later than the version's end
 */
export async function* readBlocks(
  held: HeldRows,
  asked: readonly number[],
  read: (text: string, values: readonly unknown[]) => Promise<QueryResult>,
): AsyncGenerator<Block> {
  const wanted = wantedOf(held.columns, asked);
  const text = `SELECT begin_byte, end_byte, part, row_count, bytes FROM ${rowsTable(held.table)}
    WHERE begin_byte >= $1 AND begin_byte < $2 AND part = ANY($3) ORDER BY begin_byte, part`;
  const parts = wanted.map(({ part }) => part);
  for (let begin = 0; begin < held.sizeBytes; ) {
    const end = Math.min(held.sizeBytes, begin + MAX_READ_BYTES);
    const { rows } = await read(text, [begin, end, parts]);
    for (let at = 0; at < rows.length; at += wanted.length) {
      yield blockOf(rows.slice(at, at + wanted.length), wanted, asked);
    }
    begin = Number(rows.at(-1)?.end_byte ?? end);
  }
}

/** What a scan reads of one part. */
interface Wanted {
  readonly part: number;
  /** All that it holds. */
  readonly columns: readonly Column[];
  readonly first: number;
  /** Positions in it, ascending, each once. */
  readonly positions: readonly number[];
}

/** At least one part: a scan of no columns still counts rows. */
function wantedOf(columns: readonly Column[], asked: readonly number[]): Wanted[] {
  const all = partsOf(columns.length).map(({ first, end }, part) => {
    const sorted = [...new Set(asked)].sort((a, b) => a - b);
    const positions = sorted.filter((at) => at >= first && at < end).map((at) => at - first);
    return { part, first, columns: columns.slice(first, end), positions };
  });
  const some = all.filter(({ positions }) => positions.length > 0);
  return some.length > 0 ? some : all.slice(0, 1);
}

function blockOf(
  rows: readonly Record<string, unknown>[],
  wanted: readonly Wanted[],
  asked: readonly number[],
): Block {
  const rowCount = Number(rows[0]?.row_count ?? 0);
  const found = new Map<number, Value[]>();
  let sizeBytes = 0;
  wanted.forEach(({ columns, first, positions }, at) => {
    const bytes = rows[at]?.bytes;
    const held = Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0);
    sizeBytes += held.length;
    const values = readColumns(columns, held, rowCount, positions);
    positions.forEach((position, index) => void found.set(first + position, values[index] ?? []));
  });
  return { rowCount, sizeBytes, columns: asked.map((position) => found.get(position) ?? []) };
}
