import test from 'ava';
import fc from 'fast-check';
import { StatusError } from '../../common/status.ts';
import { elementCount } from '../../common/tensor.ts';
import { readData } from './data.ts';
import type { JsonDatatype } from './elements.ts';
import { atOnce } from './slices.ts';
import { tensorText } from './tensor-text.ts';

function read(text: string, datatype: JsonDatatype, shape: readonly number[]): Buffer {
  const bytes = Buffer.from(text);
  const count = elementCount(shape);
  const tensor = { input: 'X', datatype, shape, count };
  return atOnce(readData(bytes, { start: 0, end: bytes.length }, tensor));
}

const ints = (bits: number, isSigned: boolean) =>
  isSigned
    ? fc.bigInt(-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n)
    : fc.bigInt(0n, 2n ** BigInt(bits) - 1n);

function numbersRaw(sizeBytes: number, values: readonly bigint[]): Buffer {
  const raw = Buffer.alloc(sizeBytes * values.length);
  values.forEach((value, at) => {
    const eight = Buffer.alloc(8);
    eight.writeBigUInt64LE(BigInt.asUintN(64, value));
    eight.copy(raw, at * sizeBytes, 0, sizeBytes);
  });
  return raw;
}

function stringsRaw(values: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    values.flatMap((value) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(value.length);
      return [length, value];
    }),
  );
}

const integerTypes = [
  ['UINT8', 8, false],
  ['UINT16', 16, false],
  ['UINT32', 32, false],
  ['UINT64', 64, false],
  ['INT8', 8, true],
  ['INT16', 16, true],
  ['INT32', 32, true],
  ['INT64', 64, true],
] as const;

/** Raw bytes of a tensor, and how many elements they are. */
const tensors = fc.oneof(
  ...integerTypes.map(([datatype, bits, isSigned]) =>
    fc.array(ints(bits, isSigned)).map((values) => ({
      datatype: datatype as JsonDatatype,
      raw: numbersRaw(bits / 8, values),
      count: values.length,
    })),
  ),
  fc.array(fc.boolean()).map((values) => ({
    datatype: 'BOOL' as JsonDatatype,
    raw: Buffer.from(values.map(Number)),
    count: values.length,
  })),
  fc.array(fc.float()).map((values) => ({
    datatype: 'FP32' as JsonDatatype,
    raw: Buffer.from(Float32Array.from(values).buffer),
    count: values.length,
  })),
  fc.array(fc.double()).map((values) => ({
    datatype: 'FP64' as JsonDatatype,
    raw: Buffer.from(Float64Array.from(values).buffer),
    count: values.length,
  })),
  fc
    .array(
      fc.oneof(
        fc.uint8Array(),
        fc.string({ unit: 'grapheme' }).map((s) => Buffer.from(s)),
      ),
    )
    .map((values) => ({
      datatype: 'BYTES' as JsonDatatype,
      raw: stringsRaw(values),
      count: values.length,
    })),
);

test('every tensor survives JSON, there and back', (t) => {
  fc.assert(
    fc.property(tensors, ({ datatype, raw, count }) => {
      const text = `[${[...tensorText('X', datatype, raw, count)].join('')}]`;
      JSON.parse(text);
      t.deepEqual(read(text, datatype, [count]), raw, `${datatype} ${text.slice(0, 200)}`);
    }),
    { numRuns: 500 },
  );
});

test('integers past 2^53 are exact, both ways', (t) => {
  const raw = read('[9007199254740993, -9223372036854775808]', 'INT64', [2]);
  t.is(raw.readBigInt64LE(0), 9007199254740993n);
  t.is(raw.readBigInt64LE(8), -(2n ** 63n));
  t.is([...tensorText('X', 'INT64', raw, 2)].join(''), '9007199254740993,-9223372036854775808');
  t.is(read('[18446744073709551615]', 'UINT64', [1]).readBigUInt64LE(), 2n ** 64n - 1n);
});

test('a value that does not fit is refused, naming element, value and what would', (t) => {
  const wrong: readonly (readonly [JsonDatatype, string])[] = [
    ['UINT8', '256'],
    ['UINT8', '-1'],
    ['INT8', '128'],
    ['INT16', '1.5'],
    ['INT32', '2147483648'],
    ['INT32', 'null'],
    ['INT32', '"7"'],
    ['INT64', '9223372036854775808'],
    ['INT64', '1e19'],
    ['INT64', '99999999999999999999999999'],
    ['UINT64', '-1'],
    ['UINT64', '18446744073709551616'],
    ['FP32', '3.5e38'],
    ['FP32', '"nan"'],
    ['FP64', '1e999'],
    ['FP64', 'true'],
    ['FP64', '{}'],
    ['BOOL', '2'],
    ['BOOL', '"true"'],
    ['BYTES', '1'],
    ['BYTES', 'null'],
    ['BYTES', '"\\ud800"'],
    ['BYTES', '{"b64":"*"}'],
    ['BYTES', '{"b64":"AA"}'],
    ['BYTES', '{"b64":"AAAA","x":1}'],
  ];
  for (const [datatype, value] of wrong) {
    const good = datatype === 'BYTES' ? '""' : datatype === 'BOOL' ? 'true' : '1';
    const error = t.throws(() => read(`[${good}, ${value}]`, datatype, [2]), undefined, value);
    t.true(error instanceof StatusError, value);
    t.regex(error?.message ?? '', /element 1 of input 'X' is .*, but datatype/, value);
  }
});

test('what is not finite is written as a word, or null for a value that is missing', (t) => {
  const raw = read('["NaN", "Infinity", "-Infinity", null, 1e-400]', 'FP64', [5]);
  const values = [...new Float64Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + 40))];
  t.deepEqual(values, [Number.NaN, Infinity, -Infinity, Number.NaN, 0]);
  const floats = Buffer.from(Float32Array.from([3, -0, 2 ** 80, 0.1, Number.NaN]).buffer);
  t.is(
    [...tensorText('X', 'FP32', floats, 5)].join(''),
    '3.0,-0.0,1.2089258196146292e+24,0.10000000149011612,"NaN"',
  );
});

test('data may be flat, or nested as the shape is, ones left out or added', (t) => {
  const flat = read('[1,2,3,4,5,6]', 'INT32', [2, 3]);
  for (const text of [
    '[[1,2,3],[4,5,6]]',
    '[[[1,2,3],[4,5,6]]]',
    '[[[1],[2],[3]],[[4],[5],[6]]]',
  ]) {
    t.deepEqual(read(text, 'INT32', [2, 3]), flat, text);
  }
  t.deepEqual(read('[[1,2,3,4,5,6]]', 'INT32', [2, 3]), flat);
  t.deepEqual(read('[7]', 'INT8', []), Buffer.from([7]));
  for (const empty of ['[]', '[[]]', '[ [ ] , [ ] ]']) {
    t.is(read(empty, 'FP32', [2, 0]).length, 0, empty);
  }
});

test('ragged lists and other numbers of values are refused', (t) => {
  const wrong = [
    ['[1,2,3]', [4]],
    ['[1,2,3,4,5]', [4]],
    ['[[1,2,3],[4]]', [2, 2]],
    ['[[1,2],[3,4],[]]', [2, 2]],
    ['[1,[2,3,4]]', [4]],
    ['[[1],[2,3,4]]', [4]],
    ['[[1,2],[3,4]]', [4]],
    ['[[1,2],[3,4],[5,6]]', [2, 3]],
    ['[]', [1]],
    ['[1]', [0]],
  ] as const;
  for (const [text, shape] of wrong) {
    t.throws(
      () => read(text, 'INT32', shape),
      { message: /Shape does not match true shape|JSON/ },
      text,
    );
  }
});

test('a shape larger than its data is refused before memory is taken', (t) => {
  const before = process.memoryUsage().arrayBuffers;
  t.throws(() => read('[1,2,3]', 'FP64', [1e12]), { message: /Shape does not match/ });
  t.true(process.memoryUsage().arrayBuffers - before < 1e6);
});

test('what is no JSON is refused', (t) => {
  const wrong = [
    '[1,]',
    '[,1]',
    '[1 2]',
    '[1,2',
    '[[1][2]]',
    '[1}',
    '[{]',
    '["]',
    '[01]',
    '[+1]',
    '[NaN]',
  ];
  for (const text of [...wrong, "['a']", '[\u00a01]', '[1]]', '[1],[2]', '[/*c*/1]', '[[1],]']) {
    const error = t.throws(() => read(text, 'INT32', [2]), undefined, text);
    t.true(error instanceof StatusError, text);
  }
});

test('runs are cut anywhere without losing a value', (t) => {
  const values = Array.from({ length: 50_000 }, (_, at) => `"${'x'.repeat(at % 7)},]\\"[${at}"`);
  const raw = read(`[${values.join(',')}]`, 'BYTES', [values.length]);
  const back = JSON.parse(`[${[...tensorText('X', 'BYTES', raw, values.length)].join('')}]`);
  t.deepEqual(
    back,
    values.map((value) => JSON.parse(value) as unknown),
  );
});

test('an answer whose bytes are not what its shape says is broken, not printed', (t) => {
  for (const [datatype, raw, count] of [
    ['INT32', Buffer.alloc(7), 2],
    ['BYTES', Buffer.from([1, 0, 0]), 1],
    ['BYTES', Buffer.from([9, 0, 0, 0, 65]), 1],
    ['BYTES', Buffer.from([0, 0, 0, 0]), 2],
  ] as const) {
    t.throws(() => [...tensorText('Y', datatype, raw, count)], { message: /output 'Y' is broken/ });
  }
});
