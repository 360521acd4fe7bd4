import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import type { Metadata } from '../backend.ts';
import { NO_METADATA } from '../backend.ts';
import { type HeaderField, headerField } from '../http2/hpack/header-field.ts';
import { addFields, fromFields } from './metadata.ts';

function toFields(metadata: Metadata): readonly HeaderField[] {
  const fields: HeaderField[] = [];
  addFields(fields, metadata);
  return fields;
}

const shown = (metadata: Metadata): unknown =>
  metadata.map(([key, value]) => [key, typeof value === 'string' ? value : [...value]]);

const name = fc
  .stringMatching(/^[0-9a-z_.-]{1,20}$/)
  .map((text) => `x${text.replace(/-bin$/, '')}`);
const printable = fc.string({ unit: 'grapheme-ascii' }).map((text) => text.trim());
const anyEntry = fc.oneof(
  fc.tuple(name, printable),
  fc.tuple(
    name.map((text) => `${text}-bin`),
    fc.uint8Array(),
  ),
);

test('metadata comes back as it was, in its order', (t) => {
  fc.assert(
    fc.property(fc.array(anyEntry, { maxLength: 10 }), (metadata) => {
      const fields = toFields(metadata);
      for (const field of fields) t.regex(field.value, /^[ -~]*$/);
      t.deepEqual(shown(fromFields(fields)), shown(metadata));
    }),
    { numRuns: 300 },
  );
});

test('bytes are base64 without padding, read with or without', (t) => {
  const sent = toFields([['x-bin', Uint8Array.of(1)]]);
  t.deepEqual(sent, [headerField('x-bin', 'AQ')]);
  for (const value of ['AQ', 'AQ==', ' AQ ']) {
    t.deepEqual(shown(fromFields([headerField('x-bin', value)])), [['x-bin', [1]]]);
  }
  t.deepEqual(shown(fromFields([headerField('x-bin', '')])), [['x-bin', []]]);
});

test('values joined by commas are several, of -bin names only', (t) => {
  t.deepEqual(shown(fromFields([headerField('x-bin', 'AQ,Ag==,,Aw')])), [
    ['x-bin', [1]],
    ['x-bin', [2]],
    ['x-bin', []],
    ['x-bin', [3]],
  ]);
  t.deepEqual(shown(fromFields([headerField('x', 'a,b')])), [['x', 'a,b']]);
});

test('what is not base64 is INTERNAL, and is not repeated', (t) => {
  for (const value of ['A', '?secret', 'AQ=A', 'AQ===', 'AAAAA', 'A-_A']) {
    const run = (): unknown => fromFields([headerField('x-bin', value)]);
    const error = t.throws(run, { instanceOf: StatusError });
    t.is(error.code, Code.INTERNAL);
    t.is(error.message, 'a value of header x-bin is not base64');
  }
});

test('names of the wire neither come in nor go out, other grpc- names do both', (t) => {
  const own = [
    ['grpc-status', '13'],
    ['grpc-message', 'forged'],
    ['grpc-encoding', 'gzip'],
    ['content-type', 'text/html'],
    ['te', 'x'],
    ['connection', 'close'],
    [':path', '/'],
    ['user-agent', 'me'],
  ] as const;
  t.deepEqual(toFields(own), []);
  t.is(fromFields(own.map(([key, value]) => headerField(key, value))), NO_METADATA);
  const passing: Metadata = [
    ['grpc-status-details-bin', Uint8Array.of(8, 5)],
    ['grpc-previous-rpc-attempts', '1'],
  ];
  t.deepEqual(shown(fromFields(toFields(passing))), shown(passing));
});

test('what can not be a header is refused by name, its value is not told', (t) => {
  const wrong: readonly [string, string | Uint8Array, RegExp][] = [
    ['', 'x', /metadata key "" has/],
    ['X-Upper', 'x', /metadata key "X-Upper" has/],
    ['a b', 'x', /metadata key "a b" has/],
    ['a\nb', 'x', /metadata key "a\\nb" has/],
    ['x-a', 'secret\r\nx: y', /metadata key x-a has other characters/],
    ['x-a', 'secret café', /metadata key x-a has other characters/],
    ['x-a', Uint8Array.of(1), /metadata key x-a must be text/],
    ['x-bin', 'secret', /metadata key x-bin must be bytes/],
  ];
  for (const [key, value, message] of wrong) {
    const error = t.throws(() => toFields([[key, value]]), { instanceOf: StatusError, message });
    t.is(error.code, Code.INVALID_ARGUMENT);
    t.notRegex(error.message, /secret/);
  }
});

test('space around text is dropped, inside it stays', (t) => {
  t.deepEqual(toFields([['x', '  a  b ']]), [headerField('x', 'a  b')]);
});
