// Tensors to TensorProto and back, against the generated codec: whatever a client may send gives
// the raw form that TensorFlow would compute with, and what we write is what it reads.
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { DATATYPES, type Datatype, elementSizeBytes } from '../../common/tensor.ts';
import { TensorProto } from '../gen/tensorflow/core/framework/tensor.ts';
import { dataTypeOf, datatypeOf } from './data-types.ts';
import { rawDataOf, readTensor } from './tensor-decode.ts';
import { tensorProto } from './tensor-encode.ts';

const BUDGET_BYTES = 1024 * 1024;

type Proto = Partial<TensorProto>;

const shapeOf = (dims: readonly number[]): Proto['tensorShape'] => ({
  dim: dims.map((size) => ({ size: BigInt(size), name: '' })),
  unknownRank: false,
});

/** The typed field of each datatype, from raw bytes; written apart from the code under test. */
function typed(datatype: Datatype, raw: Buffer): Proto {
  const size = elementSizeBytes(datatype);
  const each = <T>(read: (at: number) => T): T[] =>
    Array.from({ length: raw.length / size }, (_, index) => read(index * size));
  switch (datatype) {
    case 'FP32':
      return { floatVal: each((at) => raw.readFloatLE(at)) };
    case 'FP64':
      return { doubleVal: each((at) => raw.readDoubleLE(at)) };
    case 'INT8':
      return { intVal: each((at) => raw.readInt8(at)) };
    case 'UINT8':
      return { intVal: each((at) => raw.readUInt8(at)) };
    case 'INT16':
      return { intVal: each((at) => raw.readInt16LE(at)) };
    case 'UINT16':
      return { intVal: each((at) => raw.readUInt16LE(at)) };
    case 'INT32':
      return { intVal: each((at) => raw.readInt32LE(at)) };
    case 'FP16':
    case 'BF16':
      return { halfVal: each((at) => raw.readUInt16LE(at)) };
    case 'UINT32':
      return { uint32Val: each((at) => raw.readUInt32LE(at)) };
    case 'INT64':
      return { int64Val: each((at) => raw.readBigInt64LE(at)) };
    case 'UINT64':
      return { uint64Val: each((at) => raw.readBigUInt64LE(at)) };
    case 'BOOL':
      return { boolVal: each((at) => raw[at] !== 0) };
    default:
      return { stringVal: strings(raw) };
  }
}

function strings(raw: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < raw.length; ) {
    const end = at + 4 + raw.readUInt32LE(at);
    found.push(raw.subarray(at + 4, end));
    at = end;
  }
  return found;
}

const rawStrings = (texts: readonly Uint8Array[]): Buffer =>
  Buffer.concat(
    texts.flatMap((text) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      return [length, text];
    }),
  );

/** NaNs are left out: their bits don't survive a number. */
const numeric = fc
  .record({
    datatype: fc.constantFrom(...DATATYPES.filter((one) => one !== 'BYTES')),
    count: fc.nat(20),
    seed: fc.uint8Array({ minLength: 160, maxLength: 160 }),
  })
  .map(({ datatype, count, seed }) => {
    const raw = Buffer.from(seed.subarray(0, count * elementSizeBytes(datatype)));
    if (datatype === 'FP32' || datatype === 'FP64') {
      const size = elementSizeBytes(datatype);
      for (let at = size - 1; at < raw.length; at += size) raw[at] = (raw[at] ?? 0) & 0x3f;
    }
    if (datatype === 'BOOL') for (let at = 0; at < raw.length; at += 1) raw[at] = seed[at] ?? 0 & 1;
    if (datatype === 'BOOL') for (const at of raw.keys()) raw[at] = (raw[at] ?? 0) & 1;
    return { datatype, shape: [count], raw };
  });
const text = fc
  .array(fc.uint8Array({ maxLength: 9 }), { maxLength: 6 })
  .map((all) => ({ datatype: 'BYTES' as Datatype, shape: [all.length], raw: rawStrings(all) }));
const tensor = fc.oneof({ arbitrary: numeric, weight: 4 }, text);

function proto(datatype: Datatype, dims: readonly number[], rest: Proto): Buffer {
  const message = {
    dtype: dataTypeOf(datatype) as TensorProto['dtype'],
    tensorShape: shapeOf(dims),
    ...rest,
  };
  return Buffer.from(TensorProto.encode(TensorProto.fromPartial(message)).finish());
}

const rawOf = (bytes: Buffer, budgetBytes = BUDGET_BYTES): Buffer => {
  const sent = readTensor(bytes);
  return rawDataOf(sent, datatypeOf(sent.dataType) ?? 'BYTES', budgetBytes);
};

test('typed values and content of every datatype are read as the same data', (t) => {
  fc.assert(
    fc.property(tensor, ({ datatype, shape, raw }) => {
      const fromValues = proto(datatype, shape, typed(datatype, raw));
      t.deepEqual(readTensor(fromValues).shape, shape);
      t.true(rawOf(fromValues).equals(raw), datatype);
      if (datatype !== 'BYTES') {
        t.true(rawOf(proto(datatype, shape, { tensorContent: raw })).equals(raw), datatype);
      }
    }),
  );
});

test('what is written is read by the generated codec, and by ourselves', (t) => {
  fc.assert(
    fc.property(tensor, ({ datatype, shape, raw }) => {
      const bytes = tensorProto({ name: 'x', datatype, shape, bytes: raw }).join();
      const decoded = TensorProto.decode(bytes);
      t.is(decoded.dtype, dataTypeOf(datatype) as TensorProto['dtype']);
      t.deepEqual(decoded.tensorShape, shapeOf(shape));
      for (const [field, values] of Object.entries(typed(datatype, raw))) {
        t.deepEqual(decoded[field as keyof TensorProto], values);
      }
      t.true(rawOf(bytes).equals(raw));
    }),
  );
});

test('content of strings: all lengths, then all bytes', (t) => {
  const content = Buffer.concat([Buffer.from([1, 0, 2]), Buffer.from('abb')]);
  const [one, none, two] = ['a', '', 'bb'].map((each) => Buffer.from(each));
  const raw = rawStrings([one, none, two].map((each) => each ?? Buffer.alloc(0)));
  t.true(rawOf(proto('BYTES', [3], { tensorContent: content })).equals(raw));
  for (const wrong of [content.subarray(0, 5), Buffer.concat([content, one ?? content])]) {
    t.throws(() => rawOf(proto('BYTES', [3], { tensorContent: wrong })), {
      message: /are expected/,
    });
  }
});

test('the last value fills the rest, none at all is zero, too many are cut', (t) => {
  const floats = (values: readonly number[]): Buffer =>
    Buffer.from(new Float32Array(values).buffer);
  t.deepEqual(rawOf(proto('FP32', [2, 2], { floatVal: [1, 2] })), floats([1, 2, 2, 2]));
  t.deepEqual(rawOf(proto('FP32', [3], {})), floats([0, 0, 0]));
  t.deepEqual(rawOf(proto('FP32', [1], { floatVal: [5, 6] })), floats([5]));
  t.deepEqual(rawOf(proto('INT8', [3], { intVal: [-1] })), Buffer.from([255, 255, 255]));
  t.deepEqual(
    rawOf(proto('BYTES', [2], { stringVal: [Buffer.from('ab')] })),
    rawStrings([Buffer.from('ab'), Buffer.from('ab')]),
  );
  t.deepEqual(rawOf(proto('BYTES', [1], {})), Buffer.alloc(4));
  t.deepEqual(rawOf(proto('INT64', [2], { intVal: [7, 8] })), Buffer.alloc(16), 'another field');
  t.deepEqual(rawOf(proto('FP32', [], { floatVal: [9] })), floats([9]), 'a scalar');
});

test('values that are not packed are read too', (t) => {
  const head = proto('FP32', [2], {});
  const float = Buffer.from(new Float32Array([3]).buffer);
  const lone = Buffer.concat([head, Buffer.from([0x2d]), float, Buffer.from([0x2d]), float]);
  t.deepEqual(rawOf(lone), Buffer.concat([float, float]));
  const ints = Buffer.concat([proto('UINT8', [2], {}), Buffer.from([0x38, 4, 0x38, 5])]);
  t.deepEqual(rawOf(ints), Buffer.from([4, 5]));
});

test('what can not be computed with is refused before anything is allocated', (t) => {
  const cases: readonly (readonly [Buffer, RegExp, Code])[] = [
    [proto('FP32', [-1], {}), /dimension of -1/, Code.INVALID_ARGUMENT],
    [proto('FP32', [2], { tensorContent: Buffer.alloc(7) }), /7 bytes, 8/, Code.INVALID_ARGUMENT],
    [proto('FP32', [2 ** 40], { floatVal: [1] }), /more than/, Code.RESOURCE_EXHAUSTED],
    [proto('BYTES', [2 ** 40], {}), /more than/, Code.RESOURCE_EXHAUSTED],
    [proto('FP32', Array(10).fill(2 ** 50), {}), /too many/, Code.INVALID_ARGUMENT],
    [proto('FP32', Array(65).fill(1), {}), /at most 64/, Code.INVALID_ARGUMENT],
    [Buffer.from([0x2a, 3, 1, 2, 3]), /whole number/, Code.INVALID_ARGUMENT],
  ];
  for (const [bytes, text, code] of cases) {
    const error = t.throws(
      () =>
        rawDataOf(
          readTensor(bytes),
          datatypeOf(readTensor(bytes).dataType) ?? 'FP32',
          BUDGET_BYTES,
        ),
      { instanceOf: StatusError },
    );
    t.is(error?.code, code);
    t.regex(error?.message ?? '', text);
  }
  const unknownRank = proto('FP32', [], { tensorShape: { dim: [], unknownRank: true } });
  t.throws(() => readTensor(unknownRank), { message: /rank/ });
});

test('whatever the bytes, nothing but a StatusError comes of them', (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    tensor.map(({ datatype, shape, raw }) => proto(datatype, shape, typed(datatype, raw))),
  );
  const damage = fc.record({ bytes, at: fc.nat(60), byte: fc.nat(255), cut: fc.nat(60) });
  fc.assert(
    fc.property(damage, (given) => {
      const damaged = Buffer.from(given.bytes.subarray(0, given.bytes.length - (given.cut % 3)));
      if (given.at < damaged.length) damaged[given.at] = given.byte;
      try {
        rawOf(damaged, 4096);
        t.pass();
      } catch (thrown) {
        t.true(thrown instanceof StatusError, String(thrown));
      }
    }),
    { numRuns: 500 },
  );
});
