import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import type { Column, Value } from '../../stores/datasets/datasets.ts';
import { column, type Sample, tableOf } from '../../test/support/training-data.ts';
import { encodeRows, planFeatures } from './features.ts';
import { packBatch } from './packed.ts';
import { rawInputs } from './raw-inputs.ts';
import { splitRows } from './split.ts';
import { MAX_CATEGORIES, MAX_CATEGORY_CHARACTERS, TableBuilder } from './table.ts';
import { planTarget, scaleTarget } from './target.ts';

const TARGET = column('y', 'INT64');

function sampleOf(columns: Column[], rows: Value[][]): Sample {
  return { columns: [...columns, TARGET], rows: rows.map((row, index) => [...row, index % 2]) };
}

const all = (count: number): Int32Array => Int32Array.from({ length: count }, (_, row) => row);

test('every row is trained on or held out once, and each class keeps its share', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 10, maxLength: 200 }),
      fc.double({ min: 0.01, max: 0.9, noNaN: true }),
      fc.integer(),
      (classes, ratio, seed) => {
        const strata = Int32Array.from(classes);
        const split = splitRows(classes.length, ratio, seed, strata);
        const rows = [...split.train, ...split.heldOut].sort((a, b) => a - b);
        t.deepEqual(rows, [...all(classes.length)]);
        t.true(split.heldOut.length > 0);
        for (const stratum of new Set(classes)) {
          const size = classes.filter((other) => other === stratum).length;
          const held = [...split.heldOut].filter((row) => classes[row] === stratum).length;
          t.true(held < size);
          t.true(Math.abs(held - size * ratio) <= 1);
        }
        t.deepEqual(splitRows(classes.length, ratio, seed, strata), split);
      },
    ),
  );
});

test('too few rows are refused before anything else', (t) => {
  const error = t.throws(() => splitRows(9, 0.2, 1), { instanceOf: StatusError });
  t.is(error?.code, Code.FAILED_PRECONDITION);
  t.regex(error?.message ?? '', /has 9 rows: training needs at least 10/);
});

test('numbers are standardised over the training rows, categories are one-hot after them', (t) => {
  const sample = sampleOf(
    [column('size', 'FLOAT64', true), column('kind', 'STRING', true), column('is', 'BOOL', true)],
    [
      [1, 'b', true],
      [3, 'a', false],
      [null, 'b', true],
      [5, null, null],
      [9, 'held-out only', false],
    ],
  );
  const table = tableOf(sample);
  const plan = planFeatures(table, Int32Array.of(0, 1, 2, 3));
  t.like(plan.features[0], { kind: 'numeric', mean: 3, isNullable: true });
  t.like(plan.features[1], { categories: ['a', 'b'], mostFrequent: 1 });
  t.like(plan.features[2], { categories: ['false', 'true'], mostFrequent: 1 });
  t.is(plan.form, 'columns');
  t.is(plan.width, 5);
  const scale = Math.fround(1 / Math.sqrt(8 / 3));
  const rows = encodeRows(table, plan, all(5));
  const expected = [
    [-2 * scale, 0, 1, 0, 1],
    [0, 1, 0, 1, 0],
    [0, 0, 1, 0, 1],
    [2 * scale, 0, 1, 0, 1],
    [6 * scale, 0, 0, 1, 0],
  ];
  t.deepEqual([...rows], expected.flat().map(Math.fround));
  const raw = rawInputs(table, plan, Int32Array.of(2, 3));
  t.deepEqual(raw.get('size'), Float32Array.of(Number.NaN, 5));
  t.deepEqual(raw.get('kind'), ['b', '']);
  t.deepEqual(raw.get('is'), ['true', '']);
});

test('numbers without a missing value are one matrix, nullable or not', (t) => {
  const columns = [column('a', 'INT64', true), column('b', 'FLOAT64')];
  const table = tableOf(
    sampleOf(columns, [
      [1, 2.5],
      [3n, 4.5],
    ] as Value[][]),
  );
  const plan = planFeatures(table, all(2));
  t.is(plan.form, 'matrix');
  t.deepEqual(rawInputs(table, plan, Int32Array.of(1)).get('features'), Float32Array.of(3, 4.5));
});

test('a column that does not vary encodes to zeros, a shared scale is one for all', (t) => {
  const columns = [column('flat', 'INT64'), column('b', 'INT64')];
  const table = tableOf(
    sampleOf(columns, [
      [4, 0],
      [4, 8],
    ]),
  );
  const plan = planFeatures(table, all(2));
  t.deepEqual([...encodeRows(table, plan, all(2))], [0, -1, 0, 1]);
  const shared = planFeatures(table, all(2), { sharesScale: true });
  t.like(shared.features[0], { mean: 4 });
  t.like(shared.features[1], { mean: 4 });
});

test('what can not be held or encoded is refused by name', (t) => {
  const refuses = (make: () => unknown, code: Code, message: RegExp) => {
    const error = t.throws(make, { instanceOf: StatusError, message });
    t.is(error?.code, code);
  };
  const text = [column('name', 'STRING', true)];
  const tooMany = Array.from({ length: MAX_CATEGORIES + 1 }, (_, index) => [`name ${index}`]);
  refuses(
    () => tableOf(sampleOf(text, tooMany)),
    Code.FAILED_PRECONDITION,
    /column 'name' has more than 1000 different texts/,
  );
  const long = 'x'.repeat(MAX_CATEGORY_CHARACTERS / 2);
  refuses(
    () => tableOf(sampleOf(text, [[long], [`${long}y`]])),
    Code.FAILED_PRECONDITION,
    /'name' has different texts of more than \d+ characters together: leave it out/,
  );
  const huge = [column('far', 'FLOAT64')];
  refuses(
    () => tableOf(sampleOf(huge, [[1e39]])),
    Code.INVALID_ARGUMENT,
    /column 'far' holds 1e\+39, which is beyond FP32/,
  );
  refuses(
    () => planFeatures(tableOf(sampleOf(text, [[null], ['x']])), Int32Array.of(0)),
    Code.FAILED_PRECONDITION,
    /feature 'name' has no value in any training row/,
  );
  const two = [column('x', 'FLOAT64'), column('name', 'STRING', true)];
  const same = tableOf(sampleOf(two, [...Array(3).fill([1.5, 'a']), [2, 'a']]));
  refuses(
    () => planFeatures(same, Int32Array.of(0, 1, 2)),
    Code.FAILED_PRECONDITION,
    /none of the features varies/,
  );
  t.notThrows(() => planFeatures(same, all(4)));
  const full = new TableBuilder([column('x', 'INT64')], TARGET, 4);
  const columns = [column('x', 'INT64'), TARGET];
  const batch = packBatch(
    {
      rowCount: 3,
      columns: [
        [1, 2, 3],
        [0, 1, 0],
      ],
    },
    columns,
  );
  refuses(() => full.add(batch), Code.RESOURCE_EXHAUSTED, /2 columns allow 2 rows/);
});

const targetTable = (target: Column, values: readonly Value[]) =>
  tableOf({
    columns: [column('x', 'INT64'), target],
    rows: values.map((value, index) => [index, value]),
  });

test('the task follows from the type and the number of different values', (t) => {
  const of = (type: Column['type'], values: Value[]) =>
    planTarget(targetTable(column('y', type), values), undefined);
  const count = 30;
  const few = Array.from({ length: count }, (_, index) => (index % 3) * 5 - 5);
  t.like(of('INT64', few), { task: 'classification', labelType: 'INT64' });
  t.deepEqual((of('INT64', few) as { classes?: unknown }).classes, ['-5', '0', '5']);
  t.like(of('INT64', [...all(count)]), { task: 'regression' });
  t.like(of('FLOAT64', few), { task: 'regression' });
  const texts = few.map((value) => `c${value}`);
  t.like(of('STRING', texts), { labelType: 'BYTES', classes: ['c-5', 'c0', 'c5'] });
  t.like(
    of(
      'BOOL',
      few.map((value) => value > 0),
    ),
    { labelType: 'INT64', classes: ['0', '1'] },
  );
});

test('a target that nothing can be learned of is refused with the reason', (t) => {
  const y = (type: Column['type']) => column('y', type, true);
  const repeat = (...values: Value[]) =>
    Array.from({ length: 12 }, (_, index) => values[index % values.length] ?? null);
  const cases: [Column, Value[], 'classification' | 'regression' | undefined, RegExp][] = [
    [y('STRING'), [...repeat('a', 'b'), null], undefined, /missing in 1 of 13 rows/],
    [y('STRING'), repeat('a', ''), undefined, /missing in 6 of 12 rows/],
    [y('FLOAT64'), repeat(1, null), undefined, /missing in 6 of 12 rows/],
    [y('STRING'), repeat('a'), undefined, /has one class, 'a'/],
    [y('INT64'), repeat(7), 'classification', /has one class, '7'/],
    [y('FLOAT64'), repeat(7.5), undefined, /is 7.5 in every row/],
    [y('STRING'), repeat('a', 'b'), 'regression', /is STRING: regression needs FLOAT64/],
    [y('BOOL'), repeat(true, false), 'regression', /is BOOL: regression needs/],
    [y('FLOAT64'), repeat(0.5, 1), 'classification', /holds 0.5: classification needs/],
    [y('FLOAT64'), repeat(1e39, 1), undefined, /beyond FP32/],
    [y('INT64'), repeat(2n ** 60n, 1n), 'classification', /whole numbers within 2\^53/],
    [y('INT64'), [...all(12)], 'classification', /12 classes in 12 rows/],
    [y('STRING'), ['a', 'b'], undefined, /has 2 rows/],
  ];
  for (const [target, values, task, message] of cases) {
    t.throws(() => planTarget(targetTable(target, values), task), {
      instanceOf: StatusError,
      message,
    });
  }
});

test('a regression is scaled over the training rows, which must vary', (t) => {
  const values = Float64Array.of(1, 1, 5, 1, 1, 1, 1, 1, 1, 1);
  const target = { task: 'regression', values } as const;
  t.deepEqual(scaleTarget('y', target, Int32Array.of(0, 2)), { mean: 3, deviation: 2 });
  t.throws(() => scaleTarget('y', target, Int32Array.of(0, 1)), { message: /does not vary/ });
});
