import test from 'ava';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { CsvReader } from './csv.ts';
import { MAX_RECORD_BYTES, type SourceRecord } from './record.ts';

function read(file: string | Uint8Array, sliceBytes = Number.POSITIVE_INFINITY): SourceRecord[] {
  const bytes = Buffer.from(file);
  const reader = new CsvReader();
  const records: SourceRecord[] = [];
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    const slice = bytes.subarray(at, Math.min(bytes.length, at + sliceBytes));
    for (const record of reader.push(slice)) records.push(record);
  }
  return records.concat(reader.end());
}

/** Fields of good records, reasons of bad ones. */
function outcome(records: readonly SourceRecord[]) {
  return records.map((record) => {
    if (record.kind === 'bad') return record.reason;
    if (record.kind === 'header') return record.names;
    return record.kind === 'fields' ? record.fields : record.object;
  });
}

test('a header that names a column twice, or too many, is refused at once', (t) => {
  const invalid = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
  const twice = t.throws(() => read('a,b,a\n1,2,3\n'), invalid);
  t.regex(twice?.message ?? '', /names column "a" twice/);
  const wide = Array.from({ length: 100_000 }, (_, at) => `c${at}`).join();
  const error = t.throws(() => read(`${wide}\n1\n`), invalid);
  t.is(error?.message, 'the header has 100000 columns, at most 4096 are read');
});

const BROKEN = 'a quoted field is not closed, or goes on after its closing quote';

test('fields, quotes, line breaks in quotes, CRLF, a last line without a break', (t) => {
  const file = 'a,b,c\r\n1,"x, ""y""\r\nz",3\r\n\r\n4,,\n"5","",""\n6,7,"8"';
  t.deepEqual(outcome(read(file)), [
    ['a', 'b', 'c'],
    ['1', 'x, "y"\r\nz', '3'],
    ['4', '', ''],
    ['5', '', ''],
    ['6', '7', '8'],
  ]);
});

test('the delimiter is the one that the header has', (t) => {
  t.deepEqual(outcome(read('a;b\n1,5;2\n')), [
    ['a', 'b'],
    ['1,5', '2'],
  ]);
  t.deepEqual(outcome(read('a\tb\n"1\t2"\t3\n'))[1], ['1\t2', '3']);
  t.deepEqual(outcome(read('"a;b;c;d",e\n1,2\n'))[0], ['a;b;c;d', 'e']);
  t.deepEqual(outcome(read('a\n1;2\n')), [['a'], ['1;2']]);
});

const cell = fc.string({ unit: fc.constantFrom('a', '1', ',', '"', '\n', '\r\n', ' ', 'é', '🦩') });
const table = fc
  .integer({ min: 2, max: 5 })
  .chain((width) =>
    fc.array(fc.array(cell, { minLength: width, maxLength: width }), { minLength: 1 }),
  );

test('any well-formed file reads as csv-parse reads it, in pieces of any size', (t) => {
  const quoted = (text: string) =>
    /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const property = fc.property(table, fc.integer({ min: 1, max: 40 }), (rows, sliceBytes) => {
    const width = rows[0]?.length ?? 0;
    const header = Array.from({ length: width }, (_, index) => `h${index}`);
    const file = [header, ...rows].map((row) => row.map(quoted).join(',')).join('\n');
    const expected = parse(file, { skip_empty_lines: true });
    t.deepEqual(outcome(read(file, sliceBytes)), expected);
  });
  fc.assert(property, { numRuns: 200 });
});

test('any bytes at all are read to the end, in pieces of any size, alike', (t) => {
  const byte = fc.constantFrom(...Buffer.from('a,"\n\r;\xff', 'latin1'));
  const property = fc.property(fc.array(byte), fc.integer({ min: 1, max: 7 }), (bytes, slice) => {
    const file = Buffer.concat([Buffer.from('a,b\n'), Buffer.from(bytes)]);
    t.deepEqual(read(file, slice), read(file));
  });
  fc.assert(property, { numRuns: 500 });
});

test('a quote that is not closed costs its own line only', (t) => {
  const file = 'a,b\n1,"open\n2,"fine"\n3,"x"y\n4,5\n6,"end';
  t.deepEqual(outcome(read(file)), [['a', 'b'], BROKEN, ['2', 'fine'], BROKEN, ['4', '5'], BROKEN]);
  const unclosed = `a,b\n1,"open\n${'2,3\n'.repeat(MAX_RECORD_BYTES / 2)}`;
  const records = read(unclosed, 100_000);
  t.is(records.length, 2 + MAX_RECORD_BYTES / 2);
  t.is(records.filter((record) => record.kind === 'bad').length, 1);
});

test('a quote inside a field that has none at its start is text', (t) => {
  t.deepEqual(outcome(read('a,b\n5" pipe,x"y"\n'))[1], ['5" pipe', 'x"y"']);
});

test('a record above the limit is one bad record, whose text is not kept', (t) => {
  const long = 'x'.repeat(3 * MAX_RECORD_BYTES);
  for (const line of [`${long},1`, `"${long}",1`]) {
    const records = read(`a,b\n1,2\n${line}\n3,4\n`, 50_000);
    t.is(records.length, 4);
    const bad = records[2];
    t.regex(bad?.kind === 'bad' ? bad.reason : '', /longer than 1048576 bytes/);
    t.true(bad?.kind === 'bad' && bad.raw.length < 5_000);
    t.deepEqual(outcome(records.slice(3)), [['3', '4']]);
  }
});

test('bytes that are no UTF-8 make a bad record, not a bad file', (t) => {
  const file = Buffer.concat([
    Buffer.from('a,b\n1,\xff\n', 'latin1'),
    Buffer.from('2,é\n3,\ufffd\n'),
  ]);
  t.deepEqual(outcome(read(file)), [
    ['a', 'b'],
    'the record is not valid UTF-8',
    ['2', 'é'],
    ['3', '\ufffd'],
  ]);
});

test('a header that can not be one is refused', (t) => {
  const invalid = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
  t.regex(t.throws(() => read('a,b,a\n1,2,3\n'), invalid)?.message ?? '', /"a" twice/);
  t.throws(() => read(Buffer.from('a,\xff\n1,2\n', 'latin1')), invalid);
  t.throws(() => read(`${'x'.repeat(MAX_RECORD_BYTES + 1)}\n1\n`), invalid);
  t.deepEqual(outcome(read(' a ,,c\n')), [['a', 'column_2', 'c']]);
});
