import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { DATATYPES, type Datatype, elementSizeBytes } from '../../common/tensor.ts';
import {
  type InferTensorContents,
  ModelInferResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import { encode, float32, input, signatureOf } from '../../test/support/infer-messages.ts';
import { MAX_MESSAGE_BYTES } from '../../transport/backend.ts';
import { checkRequest } from './check.ts';
import { encodeStrings } from './classification.ts';
import { decodeRequest } from './request.ts';
import { encodeResponse } from './response.ts';

interface Sample {
  datatype: Datatype;
  shape: number[];
  contents: Partial<InferTensorContents> | undefined;
  raw: Uint8Array;
}

/** A random tensor in both forms; typed is undefined where a datatype has none. */
function sampleArbitrary(datatype: Datatype): fc.Arbitrary<Sample> {
  return fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }).chain((shape) => {
    const count = shape.reduce((all, dim) => all * dim, 1);
    const many = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
      fc.array(item, { minLength: count, maxLength: count });
    const sample = (contents: Sample['contents'], raw: Uint8Array): Sample => ({
      datatype,
      shape,
      contents,
      raw: new Uint8Array(raw),
    });
    const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer);
    const bits = elementSizeBytes(datatype) * 8;
    if (datatype === 'BOOL') {
      return many(fc.boolean()).map((v) => sample({ boolContents: v }, Uint8Array.from(v, Number)));
    }
    if (datatype === 'BYTES') {
      return many(fc.string({ unit: 'binary' })).map((v) =>
        sample({ bytesContents: v.map((text) => Buffer.from(text)) }, encodeStrings(v)),
      );
    }
    if (datatype === 'FP32') {
      return many(fc.float()).map((v) => sample({ fp32Contents: v }, float32(v)));
    }
    if (datatype === 'FP64') {
      return many(fc.double()).map((v) =>
        sample({ fp64Contents: v }, bytesOf(new Float64Array(v))),
      );
    }
    if (datatype === 'FP16' || datatype === 'BF16') {
      return fc
        .uint8Array({ minLength: count * 2, maxLength: count * 2 })
        .map((raw) => sample(undefined, raw));
    }
    const signed = datatype.startsWith('I');
    if (bits === 64) {
      const value = signed
        ? fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)
        : fc.bigInt(0n, 2n ** 64n - 1n);
      return many(value).map((v) =>
        signed
          ? sample({ int64Contents: v }, bytesOf(new BigInt64Array(v)))
          : sample({ uint64Contents: v }, bytesOf(new BigUint64Array(v))),
      );
    }
    const low = signed ? -(2 ** (bits - 1)) : 0;
    return many(fc.integer({ min: low, max: low + 2 ** bits - 1 })).map((v) => {
      const arrays = signed
        ? { 8: Int8Array, 16: Int16Array, 32: Int32Array }
        : { 8: Uint8Array, 16: Uint16Array, 32: Uint32Array };
      const raw = bytesOf(new arrays[bits as 8 | 16 | 32](v));
      return sample(signed ? { intContents: v } : { uintContents: v }, raw);
    });
  });
}

const samples = fc.constantFrom(...DATATYPES).chain(sampleArbitrary);

test('a tensor of any datatype arrives the same, sent typed or raw', (t) => {
  fc.assert(
    fc.property(fc.array(samples, { minLength: 1, maxLength: 3 }), (tensors) => {
      const signature = signatureOf(
        tensors.map(({ datatype, shape }, at) => ({
          name: `in${at}`,
          datatype,
          shape: shape.map((dim, axis) => (axis % 2 === 0 ? -1 : dim)),
        })),
      );
      const expected = tensors.map(({ raw }) => raw);
      // Sent backwards: the answer is in the model's order all the same.
      const raw = encode({
        inputs: tensors
          .map(({ datatype, shape }, at) => input(`in${at}`, datatype, shape))
          .reverse(),
        rawInputContents: [...expected].reverse(),
      });
      const checked = checkRequest(decodeRequest(raw), signature);
      t.deepEqual(
        checked.inputs.map(({ bytes }) => new Uint8Array(bytes)),
        expected,
      );
      t.deepEqual(
        checked.inputs.map(({ shape }) => shape),
        tensors.map(({ shape }) => shape),
      );
      if (tensors.some(({ contents }) => contents === undefined)) return;
      const typed = encode({
        inputs: tensors.map(({ datatype, shape, contents }, at) =>
          input(`in${at}`, datatype, shape, contents),
        ),
      });
      t.deepEqual(
        checkRequest(decodeRequest(typed), signature).inputs.map(
          ({ bytes }) => new Uint8Array(bytes),
        ),
        expected,
      );
    }),
    { numRuns: 300 },
  );
});

test('a damaged request is refused with a status or accepted, never anything else', (t) => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 });
  let refused = 0;
  fc.assert(
    fc.property(samples, fc.boolean(), damage, fc.nat(), (tensor, typed, changes, cut) => {
      const signature = signatureOf([{ name: 'a', datatype: tensor.datatype, shape: [-1, -1] }]);
      const bytes = Buffer.from(
        encode({
          id: 'seven',
          parameters: new Map([
            ['timeout', { parameterChoice: { $case: 'int64Param', int64Param: 5n } }],
          ]),
          inputs: [input('a', tensor.datatype, tensor.shape, typed ? tensor.contents : undefined)],
          outputs: [{ name: 'a', parameters: new Map() }],
          rawInputContents: typed ? [] : [tensor.raw],
        }),
      );
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      try {
        checkRequest(decodeRequest(bytes.subarray(0, bytes.length - (cut % 3))), signature);
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        refused += 1;
      }
    }),
    { numRuns: 2000 },
  );
  t.true(refused > 1000);
});

test('arbitrary bytes are refused with a status, or are an empty request', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        const { inputs } = decodeRequest(bytes);
        return inputs.length >= 0;
      } catch (error) {
        return error instanceof StatusError && error.code === Code.INVALID_ARGUMENT;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('what two decoders read of a request is the same', (t) => {
  const parameter = fc.oneof(
    fc.boolean().map((boolParam) => ({ $case: 'boolParam' as const, boolParam })),
    fc
      .bigInt(-(2n ** 63n), 2n ** 63n - 1n)
      .map((int64Param) => ({ $case: 'int64Param' as const, int64Param })),
    fc
      .bigInt(0n, 2n ** 64n - 1n)
      .map((uint64Param) => ({ $case: 'uint64Param' as const, uint64Param })),
    fc.string().map((stringParam) => ({ $case: 'stringParam' as const, stringParam })),
    fc.double().map((doubleParam) => ({ $case: 'doubleParam' as const, doubleParam })),
  );
  const names = fc.string({ unit: 'binary', maxLength: 5 });
  fc.assert(
    fc.property(names, fc.array(fc.tuple(names, parameter), { maxLength: 4 }), (id, entries) => {
      const parameters = new Map(
        entries.map(([key, parameterChoice]) => [key, { parameterChoice }] as const),
      );
      const read = decodeRequest(encode({ id, parameters }));
      t.is(read.id, id);
      const theirs = [...parameters].map(([key, { parameterChoice: choice }]) => [
        key,
        Object.entries(choice).find(([field]) => field !== '$case')?.[1],
      ]);
      t.deepEqual(
        [...read.parameters].map(([key, { value }]) => [key, value]),
        theirs,
      );
    }),
  );
});

test('the answer is what a client reads: id, shapes, raw bytes', (t) => {
  fc.assert(
    fc.property(fc.array(samples, { maxLength: 3 }), fc.string(), (tensors, id) => {
      const outputs = tensors.map(({ datatype, shape, raw }, at) => {
        return { name: `out${at}`, datatype, shape, bytes: raw };
      });
      const bytes = encodeResponse({ model: 'M', version: 300, id, outputs });
      const read = ModelInferResponse.decode(bytes);
      t.is(read.modelName, 'M');
      t.is(read.modelVersion, '300');
      t.is(read.id, id);
      t.deepEqual(
        read.outputs.map(({ name, datatype, shape }) => [name, datatype, shape.map(Number)]),
        outputs.map(({ name, datatype, shape }) => [name, datatype, shape]),
      );
      t.deepEqual(
        read.rawOutputContents.map((raw) => new Uint8Array(raw)),
        tensors.map(({ raw }) => raw),
      );
      t.deepEqual(ModelInferResponse.encode(read).finish(), new Uint8Array(bytes));
    }),
  );
});

test('an answer larger than a message may be is refused before it is made', (t) => {
  const bytes = new Uint8Array(MAX_MESSAGE_BYTES - 100);
  const output = (name: string, data: Uint8Array) => {
    return { name, datatype: 'UINT8', shape: [data.length], bytes: data } as const;
  };
  const answer = { model: 'M', version: 1, id: '' };
  t.truthy(encodeResponse({ ...answer, outputs: [output('a', bytes)] }));
  const error = t.throws(
    () => encodeResponse({ ...answer, outputs: [output('a', bytes), output('b', bytes)] }),
    { instanceOf: StatusError },
  );
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  t.regex(error.message, /^the answer would have 134217\d+ bytes, more than the limit of 67108864/);
});
