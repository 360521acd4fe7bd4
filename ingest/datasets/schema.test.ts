import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import type { DataRecord } from './record.ts';
import { inferColumns } from './schema.ts';

const fields = (...all: string[]): DataRecord => ({ kind: 'fields', raw: '', fields: all });
const object = (all: object): DataRecord => ({ kind: 'object', raw: '', object: { ...all } });
const bad: DataRecord = { kind: 'bad', raw: '', reason: 'the record is no JSON' };
const whole = { tolerance: 0.01, isWhole: true };

test('columns of a CSV file', async (t) => {
  const records = [
    fields('1', '1', 'true', 'x', '', 'NA'),
    fields('2', '2.5', 'FALSE', '5', '', '3'),
    fields('3', 'short'),
  ];
  const header = ['i', 'f', 'b', 's', 'none', 'n'];
  t.deepEqual(await inferColumns(records, { ...whole, header }), [
    { name: 'i', type: 'INT64', isNullable: false },
    { name: 'f', type: 'FLOAT64', isNullable: false },
    { name: 'b', type: 'BOOL', isNullable: false },
    { name: 's', type: 'STRING', isNullable: false },
    { name: 'none', type: 'STRING', isNullable: true },
    { name: 'n', type: 'INT64', isNullable: true },
  ]);
});

test('the tolerated share of bad values does not make numbers text, more does', async (t) => {
  const rows = (badRows: number) =>
    Array.from({ length: 200 }, (_, index) => fields(index < badRows ? 'bad' : '1.5'));
  const typeOf = async (badRows: number) => {
    const [column] = await inferColumns(rows(badRows), { ...whole, header: ['c'] });
    return column?.type;
  };
  t.is(await typeOf(2), 'FLOAT64');
  t.is(await typeOf(3), 'STRING');
});

test('of a file that was seen in part any column may miss values', async (t) => {
  const columns = await inferColumns([fields('1')], {
    tolerance: 0,
    isWhole: false,
    header: ['c'],
  });
  t.deepEqual(columns, [{ name: 'c', type: 'INT64', isNullable: true }]);
});

test('columns of JSON objects: keys in the order they came', async (t) => {
  const records = Array.from({ length: 200 }, (_, index) => {
    const sometimes = index % 2 === 0 ? { sometimes: 'x' } : {};
    const once = index === 7 ? { typo: 1 } : {};
    const hardlyEver = index === 9 ? {} : { always: index };
    return object({ a: index === 3 ? null : 0.5, ...hardlyEver, ...sometimes, ...once });
  });
  t.deepEqual(await inferColumns([bad, ...records], { ...whole, header: undefined }), [
    { name: 'a', type: 'FLOAT64', isNullable: true },
    { name: 'always', type: 'INT64', isNullable: false },
    { name: 'sometimes', type: 'STRING', isNullable: true },
  ]);
});

test('without one good record, or without columns, it is refused', async (t) => {
  const invalid = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
  const none = await t.throwsAsync(inferColumns([bad], { ...whole, header: undefined }), invalid);
  t.regex(none?.message ?? '', /none of the first 1 records.*no JSON/);
  await t.throwsAsync(inferColumns([object({})], { ...whole, header: undefined }), invalid);
});
