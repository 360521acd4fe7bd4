import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { COLUMN_TYPES, type Column, type ColumnType, type Row, type Value } from './datasets.ts';
import {
  blockEnds,
  MAX_BLOCK_CELLS,
  MAX_BLOCK_CHARACTERS,
  MAX_BLOCK_ROWS,
  readColumns,
  writeColumns,
} from './row-blocks.ts';

const of = (type: ColumnType): Column => ({ name: 'c', type, isNullable: true });

const integer = fc.oneof(
  fc.integer({ min: -130, max: 130 }),
  fc.integer({ min: -33_000, max: 33_000 }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
);

const VALUES: Readonly<Record<ColumnType, fc.Arbitrary<Value>>> = {
  FLOAT64: fc.double({ noNaN: true, noDefaultInfinity: true }),
  INT64: integer,
  STRING: fc.string({ unit: 'binary' }),
  BOOL: fc.boolean(),
};

const table = fc
  .array(fc.constantFrom(...COLUMN_TYPES), { minLength: 1, maxLength: 6 })
  .chain((types) =>
    fc.record({
      columns: fc.constant(types.map(of)),
      rows: fc.array(fc.tuple(...types.map((type) => fc.option(VALUES[type]))), { maxLength: 20 }),
      wanted: fc.subarray(types.map((_, at) => at)),
    }),
  );

test('any rows are read as they were written, all columns or some', (t) => {
  fc.assert(
    fc.property(table, ({ columns, rows, wanted }) => {
      const bytes = writeColumns(columns, rows, 0, columns.length);
      const expected = wanted.map((at) => rows.map((row: Row) => row[at] ?? null));
      t.deepEqual(readColumns(columns, bytes, rows.length, wanted), expected);
    }),
    { numRuns: 200 },
  );
});

test('integers take the least width that holds them all', (t) => {
  const sizeOf = (values: readonly Value[]): number =>
    (writeColumns(
      [of('INT64')],
      values.map((value) => [value]),
      0,
      1,
    ).length -
      5) /
    values.length;
  t.is(sizeOf([127, -128]), 1);
  t.is(sizeOf([128, 0]), 2);
  t.is(sizeOf([-129, 0]), 2);
  t.is(sizeOf([32_768, 0]), 4);
  t.is(sizeOf([2 ** 31, 0]), 8);
  t.is(sizeOf([2n ** 63n - 1n, -(2n ** 63n)]), 8);
});

test('rows are cut by their number, their values, and their characters', (t) => {
  const numbers = (width: number, count: number): Row[] =>
    Array.from({ length: count }, () => new Array<Value>(width).fill(1));
  const ints = (width: number): Column[] => Array.from({ length: width }, () => of('INT64'));
  t.deepEqual(blockEnds(ints(1), []), []);
  t.deepEqual(blockEnds(ints(1), numbers(1, MAX_BLOCK_ROWS)), [MAX_BLOCK_ROWS]);
  const more = blockEnds(ints(1), numbers(1, MAX_BLOCK_ROWS + 1));
  t.deepEqual(more, [MAX_BLOCK_ROWS, MAX_BLOCK_ROWS + 1]);
  const fitting = MAX_BLOCK_CELLS / 4_096;
  t.deepEqual(blockEnds(ints(4_096), numbers(4_096, fitting + 1)), [fitting, fitting + 1]);
  const text = 'x'.repeat(MAX_BLOCK_CHARACTERS / 2);
  const rows = [[text], [text], ['y'], [`${text}${text}${text}`], [null], ['z']];
  t.deepEqual(blockEnds([of('STRING')], rows), [2, 3, 4, 6]);
});

test('bytes that are cut or changed are DATA_LOSS or other values, never a crash', (t) => {
  const columns = COLUMN_TYPES.map(of);
  const rows: Row[] = [
    [1.5, 300, 'text', true],
    [null, null, null, null],
  ];
  const bytes = writeColumns(columns, rows, 0, columns.length);
  const read = (damaged: Buffer): void => {
    try {
      readColumns(columns, damaged, rows.length, [0, 1, 2, 3]);
    } catch (error) {
      t.true(error instanceof StatusError && error.code === Code.DATA_LOSS);
    }
  };
  for (let at = 0; at < bytes.length; at += 1) {
    t.throws(() => readColumns(columns, bytes.subarray(0, at), rows.length, [0, 1, 2, 3]), {
      code: Code.DATA_LOSS,
    });
    for (const value of [0, 1, 127, 255]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = value;
      read(damaged);
    }
  }
});
