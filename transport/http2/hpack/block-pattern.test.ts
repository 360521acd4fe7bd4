import test from 'ava';
import fc from 'fast-check';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder } from './encoder.ts';
import { writeLiteral } from './field-writer.ts';
import { type HeaderField, headerField } from './header-field.ts';
import { DEFAULT_HEADER_LIMITS, type HeaderList } from './header-list.ts';
import { type Indexing, IndexingPolicy } from './indexing-policy.ts';

const BASE = [
  headerField(':method', 'POST'),
  headerField(':path', '/a.B/C'),
  headerField('content-type', 'application/grpc'),
];

const text = ({ fields }: Pick<HeaderList, 'fields'>): string =>
  fields.map(({ name, value, isSecret }) => `${name}=${value}${isSecret ? '!' : ''}`).join(' ');

function blocksOf(lists: readonly (readonly HeaderField[])[]): Uint8Array[] {
  const encoder = new HpackEncoder();
  const target = new Uint8Array(65_536);
  return lists.map((fields) => target.slice(0, encoder.encode(fields, target)));
}

const within = (timeout: string, ...more: HeaderField[]): HeaderField[] => [
  ...BASE,
  headerField('grpc-timeout', timeout),
  ...more,
];

test('blocks that differ in their deadline only are recognised, and say what they say', (t) => {
  const timeouts = ['1S', '999999u', '3H', '1000m', '2S', '2S', '12345678n'];
  const lists = timeouts.map((timeout) => within(timeout, headerField('x-key', 'v')));
  const decoder = new HpackDecoder();
  const decoded = blocksOf(lists).map((block) => decoder.decode(block));
  t.deepEqual(
    decoded.map(text),
    lists.map((fields) => text({ fields })),
  );
  const last = decoded.at(-1);
  t.not(last?.base, undefined);
  t.deepEqual(last?.changed, [3]);
  t.is(last?.base, decoded.at(-2)?.base);
  const alone = new HpackDecoder();
  const [bytes] = blocksOf([within('12345678n', headerField('x-key', 'v'))]);
  t.is(last?.listBytes, bytes && alone.decode(bytes).listBytes);
});

test('whatever comes in whatever order, it is decoded as by one that remembers nothing', (t) => {
  const value = fc.stringMatching(/^[ -~]{0,20}$/);
  const varying = fc.constantFrom('grpc-timeout', 'traceparent', 'x-request-id', 'x-other');
  const field = fc.tuple(varying, value).map(([name, given]) => headerField(name, given));
  const list = fc
    .tuple(fc.constantFrom('/a', '/b', '/long/path'), fc.array(field, { maxLength: 6 }))
    .map(([path, more]) => [headerField(':path', path), ...more]);
  fc.assert(
    fc.property(fc.array(list, { minLength: 1, maxLength: 40 }), (lists) => {
      const decoder = new HpackDecoder();
      const blocks = blocksOf(lists);
      const decoded = blocks.map((block) => decoder.decode(block));
      return lists.every((fields, at) => text({ fields }) === text(decoded[at] ?? { fields: [] }));
    }),
    { numRuns: 200 },
  );
  t.pass();
});

class IndexAll extends IndexingPolicy {
  override indexingOf(): Indexing {
    return 'incremental';
  }
}

test('a peer that indexes its deadlines: the list before is the base all the same', (t) => {
  const encoder = new HpackEncoder(new IndexAll());
  const decoder = new HpackDecoder();
  const target = new Uint8Array(65_536);
  const lists = Array.from({ length: 500 }, (_, at) => within(`${at}m`, headerField('x', 'y')));
  const decoded = lists.map((fields) => {
    return decoder.decode(target.slice(0, encoder.encode(fields, target)));
  });
  t.deepEqual(
    decoded.map(text),
    lists.map((fields) => text({ fields })),
  );
  const based = decoded.filter(({ base }) => base !== undefined);
  t.true(based.length > 450, 'but when the table has dropped a field');
  t.true(based.every(({ changed }) => changed.join() === '3'));
});

/** A block of literals that are not indexed, with names of their own. */
function plain(...fields: readonly HeaderField[]): Uint8Array {
  const target = new Uint8Array(65_536);
  let end = 0;
  for (const field of fields) end = writeLiteral(target, end, field, 0, 'without');
  return target.slice(0, end);
}

test('a value that is too long, or ends the list early, is found like any other', (t) => {
  const limits = { ...DEFAULT_HEADER_LIMITS, maxListBytes: 400, maxStringBytes: 100 };
  const decoder = new HpackDecoder(limits);
  const traced = (value: string) => plain(...BASE, headerField('traceparent', value));
  for (const value of ['a', 'b', 'c']) t.is(decoder.decode(traced(value)).refusal, undefined);
  t.not(decoder.decode(traced('d')).base, undefined);
  t.is(decoder.decode(traced('e'.repeat(101))).refusal?.limit, 'maxStringBytes');
  const wide = new HpackDecoder({ ...limits, maxListBytes: 250 });
  for (const value of ['a', 'b', 'c']) t.is(wide.decode(traced(value)).refusal, undefined);
  t.is(wide.decode(traced('f'.repeat(90))).refusal?.limit, 'maxListBytes');
  const cut = traced('g').subarray(0, -1);
  t.throws(() => decoder.decode(cut), { message: /ends inside a string literal/ });
  const longer = new HpackDecoder();
  for (const value of ['a', 'b', 'c']) longer.decode(traced(value));
  const more = plain(...BASE, headerField('traceparent', 'h'), headerField('x', 'y'));
  t.is(longer.decode(more).fields.length, 5);
});
