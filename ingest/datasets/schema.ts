// The schema of a file that came without one, from its first records. A few bad values must not
// turn a column of numbers into text: what at most the tolerated share of values speaks against,
// holds, and the rows with such values are rejected later like any other.
import { setImmediate } from 'node:timers/promises';
import { invalidArgument } from '../../common/status.ts';
import type { Column, ColumnType } from '../../stores/datasets/datasets.ts';
import { isMissing, textKind } from './convert.ts';
import type { DataRecord } from './record.ts';

/** Records that the schema is inferred from, at most, and their text together. */
export const SAMPLE_RECORDS = 10_000;
export const SAMPLE_BYTES = 8 * 1024 * 1024;
/** Values looked at before others may use the event loop. */
const MAX_STEP_CELLS = 20_000;

interface Tally {
  /** Records that have the column at all. */
  present: number;
  missing: number;
  integers: number;
  floats: number;
  booleans: number;
  texts: number;
}

export interface InferOptions {
  /** Of a format that has one. */
  readonly header: readonly string[] | undefined;
  /** Share of values that may be bad. */
  readonly tolerance: number;
  /** The records are all of the file: columns without a missing value are not nullable then. */
  readonly isWhole: boolean;
}

/** @throws INVALID_ARGUMENT when no record can be read, or none has a column. */
export async function inferColumns(
  records: readonly DataRecord[],
  options: InferOptions,
): Promise<Column[]> {
  const good = records.filter((record) => record.kind !== 'bad');
  if (good.length === 0) {
    const first = records[0];
    const reason = first?.kind === 'bad' ? `: ${first.reason}` : '';
    throw invalidArgument(`none of the first ${records.length} records can be read${reason}`);
  }
  const tallies = new Map<string, Tally>();
  for (const name of options.header ?? []) tallies.set(name, newTally());
  let cells = 0;
  for (const record of good) {
    cells += tallyRecord(tallies, record, options.header);
    if (cells < MAX_STEP_CELLS) continue;
    cells = 0;
    await setImmediate();
  }
  const tolerated = options.tolerance * good.length;
  const columns: Column[] = [];
  for (const [name, tally] of tallies) {
    // A key that hardly any record has is a mistake in these records.
    if (options.header === undefined && tally.present <= tolerated) continue;
    const isAbsent = options.header === undefined && good.length - tally.present > tolerated;
    const isNullable = !options.isWhole || tally.missing > 0 || isAbsent;
    columns.push({ name, type: typeOf(tally, options.tolerance), isNullable });
  }
  if (columns.length > 0) return columns;
  throw invalidArgument('the records have no columns: objects with keys are expected');
}

function newTally(): Tally {
  return { present: 0, missing: 0, integers: 0, floats: 0, booleans: 0, texts: 0 };
}

/** How many values it looked at. */
function tallyRecord(
  tallies: Map<string, Tally>,
  record: DataRecord,
  header: readonly string[] | undefined,
): number {
  if (record.kind === 'fields') {
    if (record.fields.length !== header?.length) return 0;
    header.forEach((name, at) => {
      const tally = tallies.get(name);
      if (tally !== undefined) tallyText(tally, record.fields[at] ?? '');
    });
    return record.fields.length;
  }
  if (record.kind !== 'object') return 0;
  const entries = Object.entries(record.object);
  for (const [name, value] of entries) {
    const tally = tallies.get(name) ?? newTally();
    tallies.set(name, tally);
    tallyValue(tally, value);
  }
  return entries.length;
}

function tallyText(tally: Tally, text: string): void {
  tally.present += 1;
  if (isMissing(text)) tally.missing += 1;
  else tally[textKind(text)] += 1;
}

function tallyValue(tally: Tally, value: unknown): void {
  tally.present += 1;
  if (isMissing(value)) tally.missing += 1;
  else if (typeof value === 'number')
    tally[Number.isSafeInteger(value) ? 'integers' : 'floats'] += 1;
  else if (typeof value === 'bigint') tally.integers += 1;
  else if (typeof value === 'boolean') tally.booleans += 1;
  else tally.texts += 1;
}

function typeOf(tally: Tally, tolerance: number): ColumnType {
  const numbers = tally.integers + tally.floats;
  const values = numbers + tally.booleans + tally.texts;
  const holds = (count: number) => values > 0 && values - count <= tolerance * values;
  if (holds(numbers)) return tally.floats === 0 ? 'INT64' : 'FLOAT64';
  return holds(tally.booleans) ? 'BOOL' : 'STRING';
}
