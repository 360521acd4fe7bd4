// The reader moves over whatever protobuf's own writer wrote, field by field, and refuses all the
// rest with INVALID_ARGUMENT, without reading a byte past its end.
import { BinaryWriter, WireType as WriterType } from '@bufbuild/protobuf/wire';
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../common/status.ts';
import { WireReader, WireType } from './wire.ts';

const skipAll = (bytes: Buffer, end = bytes.length): number[] => {
  const reader = new WireReader(bytes, 0, end);
  const numbers: number[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    numbers.push(tag >>> 3);
    reader.skip(tag);
  }
  return numbers;
};

const fieldNumber = fc.integer({ min: 1, max: 2 ** 29 - 1 });
const field = fc.oneof(
  fc.tuple(
    fc.constant('varint' as const),
    fieldNumber,
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  ),
  fc.tuple(fc.constant('bytes' as const), fieldNumber, fc.uint8Array({ maxLength: 300 })),
  fc.tuple(fc.constant('fixed32' as const), fieldNumber, fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  fc.tuple(fc.constant('fixed64' as const), fieldNumber, fc.double()),
  fc.tuple(fc.constant('group' as const), fieldNumber, fc.nat(90)),
);
type Field = typeof field extends fc.Arbitrary<infer T> ? T : never;

const write = (writer: BinaryWriter, [kind, number, value]: Field): void => {
  if (kind === 'varint') writer.tag(number, WriterType.Varint).uint64(value);
  else if (kind === 'bytes') writer.tag(number, WriterType.LengthDelimited).bytes(value);
  else if (kind === 'fixed32') writer.tag(number, WriterType.Bit32).fixed32(value);
  else if (kind === 'fixed64') writer.tag(number, WriterType.Bit64).double(value);
  else {
    for (let depth = 0; depth <= value; depth++) writer.tag(number, WriterType.StartGroup);
    writer
      .tag(1, WriterType.Varint)
      .uint32(1)
      .tag(2, WriterType.LengthDelimited)
      .bytes(new Uint8Array(3));
    for (let depth = 0; depth <= value; depth++) writer.tag(number, WriterType.EndGroup);
  }
};

test('every field that protobuf writes is stepped over', (t) => {
  const check = (fields: Field[]): void => {
    const writer = new BinaryWriter();
    for (const one of fields) write(writer, one);
    t.deepEqual(
      skipAll(Buffer.from(writer.finish())),
      fields.map(([, number]) => number),
    );
  };
  t.notThrows(() => fc.assert(fc.property(fc.array(field, { maxLength: 12 }), check)));
});

test('a 64-bit varint is read exactly', (t) => {
  const check = (value: bigint): void => {
    const reader = new WireReader(Buffer.from(new BinaryWriter().uint64(value).finish()));
    t.is(reader.uint64(), value);
    t.is(reader.tag(), 0);
  };
  t.notThrows(() => fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), check)));
});

test('any bytes are stepped over or refused, and never read past their end', (t) => {
  const check = (given: Uint8Array, padding: Uint8Array): void => {
    const bytes = Buffer.from(given);
    const outcome = (within: Buffer): unknown => {
      try {
        return skipAll(within, bytes.length);
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        return [error.code, error.message];
      }
    };
    const alone = outcome(bytes);
    t.deepEqual(outcome(Buffer.from([...bytes, ...padding])), alone);
  };
  const someBytes = fc.uint8Array({ maxLength: 40 });
  t.notThrows(() => fc.assert(fc.property(someBytes, someBytes, check), { numRuns: 2_000 }));
});

const refused: readonly (readonly [why: string, bytes: readonly number[], text: RegExp])[] = [
  ['a tag that is cut off', [0x8a], /ends inside a field/],
  ['field number 0', [0x02, 0x00], /field number must be at least 1/],
  ['a tag of 6 bytes', [0x8a, 0x80, 0x80, 0x80, 0x80, 0x00], /exceeds 32 bits/],
  ['a tag of 33 bits', [0x8a, 0x80, 0x80, 0x80, 0x10], /exceeds 32 bits/],
  ['a length past the end', [0x0a, 0x03, 1, 2], /3 bytes are announced, 2 are left/],
  ['a length of 4 GiB', [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], /4294967295 bytes are announced/],
  ['a length of 64 bits', [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], /exceeds 32 bits/],
  ['a varint of 11 bytes', [0x08, ...new Array<number>(11).fill(0x80)], /more than 10 bytes/],
  ['a fixed32 that is cut off', [0x0d, 1, 2, 3], /ends inside a field/],
  ['a fixed64 that is cut off', [0x09, 1, 2, 3, 4, 5, 6, 7], /ends inside a field/],
  ['wire type 6', [0x0e], /wire type 6 is not allowed/],
  ['the end of no group', [0x0c], /wire type 4 is not allowed/],
  ['a group that does not end', [0x0b, 0x08, 0x01], /ends inside a field/],
  ['a group that ends as another', [0x0b, 0x14], /group ends that is not open/],
  ['groups 101 deep', new Array<number>(101).fill(0x0b), /nested more than 100 deep/],
];

for (const [why, bytes, text] of refused) {
  test(`refuses ${why}`, (t) => {
    const error = t.throws(() => skipAll(Buffer.from(bytes)), { instanceOf: StatusError });
    t.is(error.code, Code.INVALID_ARGUMENT);
    t.regex(error.message, text);
  });
}

test('a reader of a part stays in it', (t) => {
  const reader = new WireReader(Buffer.of(0x0a, 0x02, 1, 2), 0, 3);
  t.is(reader.tag() & 7, WireType.BYTES);
  t.throws(() => reader.length(), { instanceOf: StatusError });
  const varint = Buffer.of(0x08, 0x80, 0x01);
  t.throws(() => skipAll(varint, 2), { instanceOf: StatusError });
  t.deepEqual(skipAll(varint, 3), [1]);
});

test('numbers and texts are what protobuf wrote', (t) => {
  const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const check = (integer: bigint, double: number, text: string): void => {
    const writer = new BinaryWriter().int64(integer).double(double).string(text).string(text);
    const reader = new WireReader(Buffer.from(writer.finish()));
    const read = reader.int64();
    const isExact = Number.isSafeInteger(Number(integer));
    t.is(read, isExact ? Number(integer) : Number(integer) * Number.POSITIVE_INFINITY);
    t.is(reader.double(), double);
    t.is(reader.text(), text);
    t.is(String(reader.view()), text);
    t.is(reader.tag(), 0);
  };
  const text = fc.string({ unit: 'binary', maxLength: 20 });
  t.notThrows(() => fc.assert(fc.property(int64, fc.double(), text, check)));
});

test('a message within a message ends where it says', (t) => {
  // Field 1 holds a message with field 1 = 5; after it comes field 2 = 6.
  const reader = new WireReader(Buffer.of(0x0a, 2, 0x08, 5, 0x10, 6));
  t.is(reader.tag(), 0x0a);
  const outerEnd = reader.enter();
  t.is(reader.tag(), 0x08);
  t.is(reader.int64(), 5);
  t.is(reader.tag(), 0);
  reader.leave(outerEnd);
  t.is(reader.tag(), 0x10);
  const cut = new WireReader(Buffer.of(0x0a, 2, 0x08, 0x85, 0x10, 6));
  cut.tag();
  cut.enter();
  cut.tag();
  t.throws(() => cut.int64(), { message: /ends inside a field/ });
});

test('a text that is not UTF-8 is refused; a replacement character may be sent', (t) => {
  t.is(new WireReader(Buffer.of(3, 0xef, 0xbf, 0xbd)).text(), '\ufffd');
  t.throws(() => new WireReader(Buffer.of(1, 0xff)).text(), { message: /not valid UTF-8/ });
  t.throws(() => new WireReader(Buffer.of(2, 0x61)).text(), { message: /2 bytes are announced/ });
});
