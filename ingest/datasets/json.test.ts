import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { JsonReader } from './json.ts';
import { MAX_RECORD_BYTES, type SourceRecord } from './record.ts';

type Format = 'json' | 'jsonl';

function read(format: Format, file: string | Uint8Array, sliceBytes = 100_000): SourceRecord[] {
  const bytes = Buffer.from(file);
  const reader = new JsonReader(format);
  const records: SourceRecord[] = [];
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    records.push(...reader.push(bytes.subarray(at, at + sliceBytes)));
  }
  return [...records, ...reader.end()];
}

/** Objects of good records, reasons of bad ones. */
function outcome(records: readonly SourceRecord[]): unknown[] {
  return records.map((record) => {
    if (record.kind === 'bad') return record.reason;
    return record.kind === 'object' ? record.object : record.kind;
  });
}

const object = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 });
const parsed = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('any array of objects reads as JSON.parse reads it, in pieces of any size', (t) => {
  const property = fc.property(
    fc.array(object, { maxLength: 8 }),
    fc.integer({ min: 1, max: 40 }),
    fc.constantFrom(undefined, 1),
    (objects, sliceBytes, indent) => {
      const file = JSON.stringify(objects, null, indent);
      t.deepEqual(outcome(read('json', file, sliceBytes)), parsed(objects));
    },
  );
  fc.assert(property, { numRuns: 200 });
});

test('any lines of objects read as JSON.parse reads them, in pieces of any size', (t) => {
  const property = fc.property(
    fc.array(object, { maxLength: 8 }),
    fc.integer({ min: 1, max: 40 }),
    (objects, sliceBytes) => {
      const file = objects.map((one) => JSON.stringify(one)).join('\r\n\n');
      t.deepEqual(outcome(read('jsonl', file, sliceBytes)), parsed(objects));
    },
  );
  fc.assert(property, { numRuns: 200 });
});

test('a bad element is one bad record', (t) => {
  const file = '[{"a":1}, {"a":}, 5, [1], null, "x, ]", {"a":1]}, {"a":"]}\\""} ]';
  const found = outcome(read('json', file, 3));
  t.deepEqual(found[0], { a: 1 });
  t.regex(String(found[1]), /the record is no JSON: /);
  t.is(found[2], 'the record is a number, expected is an object');
  t.is(found[3], 'the record is an array, expected is an object');
  t.is(found[4], 'the record is null, expected is an object');
  t.is(found[5], 'the record is a string, expected is an object');
  t.regex(String(found[6]), /the record is no JSON: /);
});

test('a bad line is one bad record', (t) => {
  const bad = Buffer.from('{"a":"\xff"}\n', 'latin1');
  const file = Buffer.concat([Buffer.from('{"a":1}\n{"a":\n\n'), bad, Buffer.from('{"a":2}')]);
  const found = outcome(read('jsonl', file));
  t.is(found.length, 4);
  t.regex(String(found[1]), /no JSON/);
  t.is(found[2], 'the record is not valid UTF-8');
  t.deepEqual(found[3], { a: 2 });
});

test('a record above the limit is one bad record, in either format', (t) => {
  const long = JSON.stringify({ a: 'x'.repeat(3 * MAX_RECORD_BYTES) });
  const files: Record<Format, string> = {
    json: `[{"a":1},${long},{"a":2}]`,
    jsonl: `{"a":1}\n${long}\n{"a":2}\n`,
  };
  for (const format of ['json', 'jsonl'] as const) {
    for (const sliceBytes of [50_000, 10_000_000]) {
      const found = outcome(read(format, files[format], sliceBytes));
      t.is(found.length, 3);
      t.regex(String(found[1]), /longer than 1048576 bytes/);
      t.deepEqual(found[2], { a: 2 });
    }
  }
});

test('a file that is no array, or not all of one, is refused', (t) => {
  const invalid = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
  const message = (file: string) => t.throws(() => read('json', file), invalid)?.message ?? '';
  t.regex(message('{"a":1}'), /must be an array of objects.*jsonl/);
  t.regex(message('[{"a":1}] [2]'), /goes on after the end/);
  t.regex(message('[{"a":1},{"a":2'), /ends inside its array, after 1 elements/);
  t.regex(message('[{"a":"1}]'), /ends inside its array/);
  t.deepEqual(read('json', ' [ ] \n'), []);
});

test('names of JavaScript are only names', (t) => {
  const [record] = read('jsonl', '{"__proto__":{"a":1},"constructor":2}');
  t.true(record?.kind === 'object' && Object.hasOwn(record.object, '__proto__'));
  t.true(record?.kind === 'object' && !('a' in record.object));
});
