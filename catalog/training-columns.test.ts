import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import type { Column } from '../stores/datasets/datasets.ts';
import { trainingColumns } from './training-columns.ts';

const columnOf = (name: string): Column => ({ name, type: 'FLOAT64', isNullable: false });
const COLUMNS = ['a', 'b', 'c', 'd', 'y'].map(columnOf);
const SPEC = { dataset: 'iris', target: 'y', features: [] };

test('all columns but the target, or those that are named, in that order', (t) => {
  const names = (features: readonly Column[]) => features.map(({ name }) => name);
  const all = trainingColumns(COLUMNS, SPEC);
  t.deepEqual([names(all.features), all.target.name], [['a', 'b', 'c', 'd'], 'y']);
  const some = trainingColumns(COLUMNS, { ...SPEC, features: ['c', 'a'] });
  t.deepEqual(names(some.features), ['c', 'a']);
  t.notThrows(() => trainingColumns(COLUMNS, { ...SPEC, imageShape: [2, 2, 1] }));
});

test('what can not be read is INVALID_ARGUMENT with the field', (t) => {
  const many = Array.from({ length: 30 }, (_, index) => columnOf(`x${index}`));
  const cases: [Parameters<typeof trainingColumns>[1], readonly Column[], RegExp][] = [
    [{ ...SPEC, target: 'z' }, COLUMNS, /^target_column 'z' .* 'iris', which has: a, b, c, d, y$/],
    [{ ...SPEC, target: 'z' }, many, /x18, x19, \.\.\.$/],
    [{ ...SPEC, target: 'z'.repeat(200) }, COLUMNS, /'z{128}' is no column/],
    [{ ...SPEC, features: ['a', 'z'] }, COLUMNS, /^feature_columns: 'z' is no column/],
    [{ ...SPEC, features: ['a', 'y'] }, COLUMNS, /^target_column 'y' can't be one of/],
    [{ ...SPEC, features: ['a', 'b', 'a'] }, COLUMNS, /^feature_columns: 'a' is named twice/],
    [SPEC, [columnOf('y')], /has no column but the target/],
    [{ ...SPEC, imageShape: [3, 3, 1] }, COLUMNS, /3 x 3 x 1 has 9 values, but there are 4/],
  ];
  for (const [spec, columns, message] of cases) {
    const error = t.throws(() => trainingColumns(columns, spec), {
      instanceOf: StatusError,
      message,
    });
    t.is(error?.code, Code.INVALID_ARGUMENT);
  }
});
