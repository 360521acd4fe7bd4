import test from 'ava';
import type { Column, ColumnType } from '../../stores/datasets/datasets.ts';
import { converter, fromText, fromValue, textKind } from './convert.ts';

const column = (type: ColumnType, isNullable = false): Column => ({ name: 'c', type, isNullable });
const text = (type: ColumnType, field: string) => fromText(column(type), field);
const value = (type: ColumnType, found: unknown) => fromValue(column(type), found);

test('text becomes a value of its column, or none', (t) => {
  t.is(text('FLOAT64', ' -1.5e3 '), -1500);
  t.is(text('FLOAT64', '.5'), 0.5);
  for (const bad of ['', 'abc', '1,5', 'inf', 'NaN', '1e999', '0x10', '1 2', '--1', 'e5', '.']) {
    t.is(text('FLOAT64', bad), undefined, bad);
  }
  t.is(text('INT64', '+42'), 42);
  t.is(text('INT64', '-0'), 0);
  t.is(text('INT64', '3.0'), 3);
  t.is(text('INT64', '9223372036854775807'), 2n ** 63n - 1n);
  t.is(text('INT64', '-9223372036854775808'), -(2n ** 63n));
  t.is(text('INT64', '+9007199254740993'), 9007199254740993n);
  for (const bad of ['', '1.5', '9223372036854775808', '1e3', 'NA', '99999999999999999999']) {
    t.is(text('INT64', bad), undefined, bad);
  }
  t.is(text('BOOL', ' True'), true);
  t.is(text('BOOL', 'FALSE'), false);
  for (const bad of ['', 'yes', '1', 'constructor']) t.is(text('BOOL', bad), undefined, bad);
  t.is(text('STRING', ' as it is '), ' as it is ');
  t.is(text('STRING', 'NA'), 'NA');
});

test('a missing value is null where the column may miss one', (t) => {
  for (const type of ['FLOAT64', 'INT64', 'BOOL', 'STRING'] as const) {
    for (const missing of ['', 'NA', ' null ', 'NaN']) {
      t.is(fromText(column(type, true), missing), null);
      t.is(fromValue(column(type, true), missing), null);
    }
    t.is(fromValue(column(type, true), null), null);
    t.is(fromValue(column(type, true), Number.NaN), null);
    t.is(fromValue(column(type), null), undefined);
  }
});

test('typed values keep their type', (t) => {
  t.is(value('FLOAT64', 5), 5);
  t.is(value('FLOAT64', 5n), 5);
  for (const bad of ['5', true, {}, [], Number.POSITIVE_INFINITY]) {
    t.is(value('FLOAT64', bad), undefined);
  }
  t.is(value('INT64', 5), 5);
  t.is(value('INT64', 2n ** 62n), 2n ** 62n);
  for (const bad of [1.5, 2 ** 53, '5', 2n ** 63n, false]) t.is(value('INT64', bad), undefined);
  t.is(value('BOOL', false), false);
  for (const bad of [0, 'true']) t.is(value('BOOL', bad), undefined);
  t.is(value('STRING', 'x'), 'x');
  t.is(value('STRING', 5), '5');
  for (const bad of [{}, [], '\ud800']) t.is(value('STRING', bad), undefined);
});

test('reasons name the row, the column, what came and what was expected', (t) => {
  const columns: Column[] = [
    { name: 'mass', type: 'FLOAT64', isNullable: true },
    { name: 'sex', type: 'STRING', isNullable: false },
  ];
  const csv = converter(columns, ['sex', 'other', 'mass']);
  const fields = (...all: string[]) => ({ kind: 'fields' as const, raw: '', fields: all });
  t.deepEqual(csv(fields('f', 'x', '1.5'), 7), { row: [1.5, 'f'] });
  t.deepEqual(csv(fields('f', 'x', 'heavy'), 7), {
    reason: 'row 7, column "mass": "heavy" found, expected is FLOAT64 or nothing',
  });
  t.deepEqual(csv(fields('f', 'x'), 8), { reason: 'row 8 has 2 fields, the header has 3' });
  const bad = { kind: 'bad' as const, raw: '', reason: 'the record is no JSON' };
  t.deepEqual(csv(bad, 9), { reason: 'row 9: the record is no JSON' });
  const json = converter(columns, undefined);
  const object = (fields: object) => ({ kind: 'object' as const, raw: '', object: { ...fields } });
  t.deepEqual(json(object({ sex: 'm' }), 1), { row: [null, 'm'] });
  t.deepEqual(json(object({ mass: 1 }), 2), {
    reason: 'row 2: field "sex" is missing, expected is STRING',
  });
  t.deepEqual(json(object({ mass: { kg: 1 }, sex: 'm' }), 3), {
    reason: 'row 3, column "mass": an object found, expected is FLOAT64 or nothing',
  });
  t.deepEqual(json(object({ sex: '\ud800' }), 4), {
    reason:
      'row 4, column "sex": text with half a character (a lone surrogate) found, ' +
      'expected is STRING',
  });
  const long = json(object({ mass: 'x'.repeat(100_000), sex: 'm' }), 4);
  t.true('reason' in long && long.reason.length < 200);
});

test('text is told apart for inference', (t) => {
  const kinds = ['1', '-5', '9223372036854775807', '9223372036854775808', '1.0', '1e5', '007'].map(
    textKind,
  );
  t.deepEqual(kinds, ['integers', 'integers', 'integers', 'floats', 'floats', 'floats', 'texts']);
  t.is(textKind('true'), 'booleans');
  t.is(textKind('toString'), 'texts');
  t.is(textKind('0.5'), 'floats');
});
