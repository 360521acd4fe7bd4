import test from 'ava';
import { HpackDecoder } from './decoder.ts';
import { writeIndexed, writeLiteral, writeSizeUpdate } from './field-writer.ts';
import { headerField } from './header-field.ts';
import type { HeaderLimits, HeaderList } from './header-list.ts';
import { DEFAULT_HEADER_LIMITS, refusalText } from './header-list.ts';
import { HpackError } from './hpack-error.ts';
import type { Indexing } from './indexing-policy.ts';

type Piece = (target: Uint8Array, at: number) => number;

const indexed =
  (index: number): Piece =>
  (target, at) =>
    writeIndexed(target, at, index);
const sized =
  (bytes: number): Piece =>
  (target, at) =>
    writeSizeUpdate(target, at, bytes);
const literal =
  (name: string, value: string, indexing: Indexing = 'incremental', nameIndex = 0): Piece =>
  (target, at) =>
    writeLiteral(target, at, headerField(name, value), nameIndex, indexing);

function block(...pieces: readonly Piece[]): Uint8Array {
  const target = new Uint8Array(256 * 1024);
  let end = 0;
  for (const piece of pieces) end = piece(target, end);
  return target.subarray(0, end);
}

const limited = (limits: Partial<HeaderLimits>): HpackDecoder =>
  new HpackDecoder({ ...DEFAULT_HEADER_LIMITS, ...limits });

const text = (list: HeaderList): string =>
  list.fields.map(({ name, value }) => `${name}=${value}`).join(' ');

function refused(decoder: HpackDecoder, bytes: Uint8Array): HpackError | undefined {
  try {
    decoder.decode(bytes);
  } catch (thrown) {
    if (thrown instanceof HpackError) return thrown;
    throw thrown;
  }
  return undefined;
}

test('an index that names nothing ends the connection', (t) => {
  for (const bytes of [
    block(indexed(0)),
    block(indexed(62)),
    block(literal('', 'v', 'without', 62)),
  ]) {
    t.regex(refused(new HpackDecoder(), bytes)?.message ?? '', /no header field has the index/);
  }
  const decoder = new HpackDecoder();
  t.is(text(decoder.decode(block(literal('a', 'b'), indexed(62)))), 'a=b a=b');
  t.is(refused(decoder, block(indexed(63)))?.code, 'COMPRESSION_ERROR');
});

test('blocks that end too early, and integers without end, end the connection', (t) => {
  for (const hex of ['ff', 'ff80', '40', '4001', '400161', '40016103', '4085', '7f', '0f', '3f']) {
    t.is(refused(new HpackDecoder(), Buffer.from(hex, 'hex'))?.code, 'COMPRESSION_ERROR', hex);
  }
  const endless = Buffer.from('ffffffffffffffffffff00', 'hex');
  t.regex(refused(new HpackDecoder(), endless)?.message ?? '', /larger than|too long/);
  const padded = Buffer.from('ff8080808000', 'hex');
  t.regex(refused(new HpackDecoder(), padded)?.message ?? '', /too long/);
  const notHuffman = Buffer.from('400161 82ffff'.replace(' ', ''), 'hex');
  t.regex(refused(new HpackDecoder(), notHuffman)?.message ?? '', /no Huffman code/);
});

test('never-indexed fields say so and leave no entry', (t) => {
  const decoder = new HpackDecoder();
  const list = decoder.decode(block(literal('authorization', 'token', 'never', 23)));
  t.deepEqual(list.fields, [headerField('authorization', 'token', true)]);
  t.is(decoder.tableBytes, 0);
  t.false(decoder.decode(block(literal('x', 'y', 'without'))).fields[0]?.isSecret);
});

test('a list that costs too much is refused, and the tables stay equal', (t) => {
  const decoder = limited({ maxListBytes: 100 });
  const list = decoder.decode(
    block(literal('a', 'x'.repeat(30)), literal('b', 'y'.repeat(30)), literal('c', 'z')),
  );
  t.deepEqual(list.refusal, { limit: 'maxListBytes', maximum: 100 });
  t.is(list.listBytes, 63 + 63 + 34);
  t.is(list.fields.length, 1, 'nothing is kept beyond the limit');
  t.regex(refusalText({ limit: 'maxListBytes', maximum: 100 }), /100 bytes/);
  t.is(text(decoder.decode(block(indexed(62)))), 'c=z');
  t.is(decoder.decode(block(indexed(63))).fields[0]?.name, 'b');
});

test('exactly the limit is not refused', (t) => {
  const decoder = limited({ maxListBytes: 100 });
  t.is(decoder.decode(block(literal('a', 'x'.repeat(67)))).refusal, undefined);
  t.not(decoder.decode(block(literal('a', 'x'.repeat(68)))).refusal, undefined);
  const few = limited({ maxFields: 2 });
  t.is(few.decode(block(indexed(2), indexed(3))).refusal, undefined);
  t.deepEqual(few.decode(block(indexed(2), indexed(3), indexed(4))).refusal, {
    limit: 'maxFields',
    maximum: 2,
  });
});

test('a string that is too long is refused but still enters the table', (t) => {
  const decoder = limited({ maxStringBytes: 10 });
  for (const long of ['x'.repeat(11), '\x01'.repeat(11)]) {
    const list = decoder.decode(block(literal('a', long), literal('b', 'c')));
    t.deepEqual(list.refusal, { limit: 'maxStringBytes', maximum: 10 });
    t.is(text(decoder.decode(block(indexed(62)))), 'b=c');
    t.is(decoder.decode(block(indexed(63))).refusal?.limit, 'maxStringBytes');
  }
  t.is(decoder.decode(block(literal('a', 'x'.repeat(10)))).refusal, undefined);
  t.is(decoder.decode(block(literal('n'.repeat(11), ''))).refusal?.limit, 'maxStringBytes');
});

test('a string larger than the table empties it, and is not kept', (t) => {
  for (const filler of ['x', '\x01', '!']) {
    const decoder = limited({ maxStringBytes: 10 });
    decoder.decode(block(literal('a', 'b')));
    const list = decoder.decode(block(literal('n', filler.repeat(5000)), literal('c', 'd')));
    t.is(list.refusal?.limit, 'maxStringBytes');
    t.is(list.listBytes, 33 + 5000 + 34);
    t.is(decoder.tableBytes, 34);
    t.is(text(decoder.decode(block(indexed(62)))), 'c=d');
  }
});

test('few bytes that decode to very many end the connection', (t) => {
  const decoder = new HpackDecoder();
  decoder.decode(block(literal('bomb', 'x'.repeat(3800))));
  const bomb = new Uint8Array(60_000).fill(0x80 | 62);
  t.is(refused(decoder, bomb)?.code, 'ENHANCE_YOUR_CALM');
});

test('a table that must shrink is shrunk first, or the connection ends', (t) => {
  const shrunk = (): HpackDecoder => {
    const decoder = new HpackDecoder();
    decoder.decode(block(literal('a', 'b'), literal('c', 'd')));
    for (let time = 0; time < 3; time += 1) decoder.decode(block(indexed(2)));
    decoder.setMaxTableBytes(40);
    return decoder;
  };
  t.regex(refused(shrunk(), block(indexed(2)))?.message ?? '', /owes/, 'though seen before');
  t.regex(refused(shrunk(), block())?.message ?? '', /owes/);
  t.regex(refused(shrunk(), block(sized(41)))?.message ?? '', /above the setting/);
  const decoder = shrunk();
  t.is(text(decoder.decode(block(sized(40), indexed(62)))), 'c=d');
  t.is(decoder.tableBytes, 34);
  t.is(refused(decoder, block(indexed(63)))?.code, 'COMPRESSION_ERROR', 'was evicted');
});

test('the smallest size that was set is owed, then it may grow again', (t) => {
  const decoder = new HpackDecoder();
  decoder.decode(block(literal('a', 'b')));
  decoder.setMaxTableBytes(0);
  decoder.setMaxTableBytes(8192);
  t.is(text(decoder.decode(block(sized(0), sized(8192), literal('c', 'd')))), 'c=d');
  t.is(decoder.tableBytes, 34);
  t.is(refused(decoder, block(sized(8193)))?.code, 'COMPRESSION_ERROR');
  const late = new HpackDecoder();
  late.setMaxTableBytes(0);
  late.setMaxTableBytes(8192);
  t.regex(refused(late, block(sized(8192)))?.message ?? '', /above the setting/);
});

test('a size update comes before the first field only', (t) => {
  const late = block(indexed(2), sized(100));
  t.regex(refused(new HpackDecoder(), late)?.message ?? '', /behind the first field/);
  t.is(new HpackDecoder().decode(block(sized(0))).fields.length, 0);
});

test('a table of 0 bytes takes nothing', (t) => {
  const decoder = new HpackDecoder();
  decoder.decode(block(sized(0)));
  t.is(text(decoder.decode(block(literal('a', 'b')))), 'a=b');
  t.is(refused(decoder, block(indexed(62)))?.code, 'COMPRESSION_ERROR');
});

test('only the bytes between start and end are read', (t) => {
  const inner = block(literal('a', 'b'));
  const outer = new Uint8Array(inner.length + 4).fill(0xff);
  outer.set(inner, 2);
  t.is(text(new HpackDecoder().decode(outer, 2, 2 + inner.length)), 'a=b');
});
