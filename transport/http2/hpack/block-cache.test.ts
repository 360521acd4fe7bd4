// A block seen before is the same list again exactly as long as it means the same.
import test from 'ava';
import fc from 'fast-check';
import { HpackDecoder } from './decoder.ts';
import { writeIndexed, writeLiteral, writeSizeUpdate } from './field-writer.ts';
import { headerField } from './header-field.ts';
import { HpackError } from './hpack-error.ts';

const WITHOUT = { name: 'x-a', value: 'one' };

function without(value: string): Uint8Array {
  const target = new Uint8Array(600);
  const field = headerField(WITHOUT.name, value);
  return target.subarray(0, writeLiteral(target, 0, field, 0, 'without'));
}

function incremental(name: string, value: string): Uint8Array {
  const target = new Uint8Array(600);
  return target.subarray(0, writeLiteral(target, 0, headerField(name, value), 0, 'incremental'));
}

function indexed(...indices: readonly number[]): Uint8Array {
  const target = new Uint8Array(600);
  let end = 0;
  for (const index of indices) end = writeIndexed(target, end, index);
  return target.subarray(0, end);
}

test('a block that came twice is recognised from then on', (t) => {
  const decoder = new HpackDecoder();
  const first = decoder.decode(without('one'));
  const second = decoder.decode(without('one'));
  const third = decoder.decode(without('one'));
  t.not(first, second);
  t.is(second, third);
  t.deepEqual(second.fields, [headerField('x-a', 'one')]);
  second.note = 'worked out';
  t.is(decoder.decode(without('one')).note, 'worked out');
  t.is(decoder.decode(without('two')).note, undefined);
});

test('a block without dynamic entries outlives changes of the table', (t) => {
  const decoder = new HpackDecoder();
  decoder.decode(without('one'));
  const known = decoder.decode(without('one'));
  decoder.decode(incremental('b', 'c'));
  t.is(decoder.decode(without('one')), known);
});

test('a block with dynamic entries does not', (t) => {
  const decoder = new HpackDecoder();
  decoder.decode(incremental('b', 'c'));
  decoder.decode(indexed(62));
  const known = decoder.decode(indexed(62));
  t.is(decoder.decode(indexed(62)), known);
  decoder.decode(incremental('d', 'e'));
  t.deepEqual(decoder.decode(indexed(62)).fields, [headerField('d', 'e')]);
  t.deepEqual(decoder.decode(indexed(63)).fields, [headerField('b', 'c')]);
});

test('nor a size update that evicts what it names', (t) => {
  const decoder = new HpackDecoder();
  decoder.decode(incremental('b', 'c'));
  for (let time = 0; time < 3; time += 1) decoder.decode(indexed(62));
  const empty = new Uint8Array(8);
  decoder.decode(empty.subarray(0, writeSizeUpdate(empty, 0, 0)));
  t.throws(() => decoder.decode(indexed(62)), { instanceOf: HpackError });
});

test('a block that changes the table changes it each time', (t) => {
  const decoder = new HpackDecoder();
  for (let time = 1; time <= 4; time += 1) {
    decoder.decode(incremental('b', 'c'));
    t.is(decoder.tableBytes, 34 * time);
  }
});

test('long blocks and refused ones are decoded each time', (t) => {
  const decoder = new HpackDecoder();
  const long = without('!'.repeat(513));
  const lists = [1, 2, 3, 4].map(() => decoder.decode(long));
  t.is(new Set(lists).size, 4);
  const strict = new HpackDecoder({
    maxListBytes: 10,
    maxFields: 9,
    maxStringBytes: 9,
    maxWorkBytes: 1000,
  });
  const refused = [1, 2, 3, 4].map(() => strict.decode(indexed(2)));
  t.is(new Set(refused).size, 4);
});

test('the bytes of a remembered block may change afterwards', (t) => {
  const decoder = new HpackDecoder();
  const chunk = Uint8Array.from(without('one'));
  decoder.decode(chunk);
  decoder.decode(chunk);
  chunk[chunk.length - 1] = 0x21;
  t.not(decoder.decode(without('one')).fields[0]?.value, decoder.decode(chunk).fields[0]?.value);
});

/** Blocks of few kinds in any order, so that the same ones come again in other states. */
const anyBlock = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .constantFrom([2], [2, 62], [62], [62, 62], [63, 62], [64])
      .map((indices) => indexed(...indices)),
  },
  { weight: 2, arbitrary: fc.constantFrom('one', 'two').map(without) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('p', 'q', 'r').map((name) => incremental(name, name.repeat(30))),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(0, 64, 150, 4096).map((bytes) => {
      const target = new Uint8Array(8);
      return target.subarray(0, writeSizeUpdate(target, 0, bytes));
    }),
  },
);

test('whatever came before, a known block means what a decoder without a memory says', (t) => {
  const outcome = (decode: () => { fields: unknown }): unknown => {
    try {
      return decode().fields;
    } catch (thrown) {
      if (!(thrown instanceof HpackError)) throw thrown;
      return thrown.message;
    }
  };
  let known = 0;
  fc.assert(
    fc.property(fc.array(anyBlock, { minLength: 5, maxLength: 60 }), (blocks) => {
      const remembering = new HpackDecoder();
      const done: Uint8Array[] = [];
      const seen = new Set<unknown>();
      for (const [at, block] of blocks.entries()) {
        // A decoder that only ever saw the blocks that changed the table, each once.
        const fresh = new HpackDecoder();
        for (const earlier of done) fresh.decode(earlier);
        const meant = outcome(() => fresh.decode(block));
        if (typeof meant === 'string' && at < blocks.length - 1) continue;
        const said = outcome(() => {
          const list = remembering.decode(block);
          if (seen.has(list)) known += 1;
          seen.add(list);
          return list;
        });
        t.deepEqual(said, meant);
        const isChange = ((block[0] ?? 0) & 0xc0) === 0x40 || ((block[0] ?? 0) & 0xe0) === 0x20;
        if (isChange) done.push(block);
      }
    }),
    { numRuns: 200 },
  );
  t.true(known > 30, `only ${known} blocks were recognised`);
});
