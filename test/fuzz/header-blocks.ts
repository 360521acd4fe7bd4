// Header blocks for fuzzing, made of the representations of RFC 7541, 6: in any order, naming
// entries that are there and that are not, with both kinds of strings, and with a byte off.
import fc from 'fast-check';
import { integerBytes, literalBytes } from './wire-bytes.ts';

/** A few, so that names and values come again and tables and caches get hits. */
const names = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('x-a', 'x-b', 'te', 'grpc-timeout', ':path', 'cookie') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 20 }) },
);
const longText = fc
  .tuple(fc.constantFrom('a', '\u00ff', '0', ' '), fc.constantFrom(100, 2_000, 4_100, 9_000))
  .map(([character, times]) => character.repeat(times));
const values = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('', '1', 'trailers', '100m', '/a', 'x'.repeat(70)) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 40 }) },
  {
    weight: 2,
    arbitrary: fc
      .uint8Array({ maxLength: 40 })
      .map((bytes) => Buffer.from(bytes).toString('latin1')),
  },
  { weight: 1, arbitrary: longText },
);

/** Of the static table, of a dynamic one that has some entries, and of none. */
export const indices = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 61 }) },
  { weight: 4, arbitrary: fc.integer({ min: 62, max: 70 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 62, 120, 16_384, 2 ** 28 - 1) },
);

const indexed = indices.map((index) => integerBytes(0x80, 0x7f, index));

const literal = fc
  .record({
    pattern: fc.constantFrom(0x40, 0x40, 0x40, 0x00, 0x10),
    name: fc.option(names),
    index: indices,
    value: values,
    isHuffman: fc.boolean(),
  })
  .map(({ pattern, name, index, value, isHuffman }) => {
    const mask = pattern === 0x40 ? 0x3f : 0x0f;
    const head = integerBytes(pattern, mask, name === null ? index : 0);
    const text = name === null ? [] : [literalBytes(name, isHuffman)];
    return Buffer.concat([head, ...text, literalBytes(value, isHuffman)]);
  });

const sizeUpdate = fc
  .constantFrom(0, 31, 40, 100, 1_000, 4_096, 4_097, 65_536)
  .map((bytes) => integerBytes(0x20, 0x1f, bytes));

/** Bytes as they come: integers cut off, codes that are none. */
const noise = fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes));

/** Mostly sound blocks. */
export const headerBlocks: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.array(sizeUpdate, { maxLength: 1 }),
    fc.array(
      fc.oneof(
        { weight: 30, arbitrary: literal },
        { weight: 20, arbitrary: indexed },
        { weight: 1, arbitrary: sizeUpdate },
        { weight: 1, arbitrary: noise },
      ),
      { maxLength: 12 },
    ),
  )
  .map(([updates, rest]) => Buffer.concat([...updates, ...rest]));

/** Text that any header may have as its value, in latin1. */
export const plainValues = fc.oneof(
  fc.constantFrom('', '1', 'identity', 'x'.repeat(300)),
  fc.stringMatching(/^[!-~]{1,30}$/),
);
export const plainNames = fc.oneof(
  fc.constantFrom('x-a', 'x-b', 'x-c', 'authorization', 'grpc-trace-bin'),
  fc.stringMatching(/^x-[a-z0-9]{1,10}$/),
);
