import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { DATATYPES, type Datatype, elementSizeBytes } from '../../common/tensor.ts';
import {
  type InferTensorContents,
  ModelInferRequest,
  type ModelInferRequest_InferInputTensor,
  ModelInferResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import { checkRequest } from './check.ts';
import { encodeStrings } from './classification.ts';
import { decodeRequest } from './request.ts';
import { encodeResponse } from './response.ts';
import type { ServedSignature } from './signature.ts';

const EMPTY: InferTensorContents = {
  boolContents: [],
  intContents: [],
  int64Contents: [],
  uintContents: [],
  uint64Contents: [],
  fp32Contents: [],
  fp64Contents: [],
  bytesContents: [],
};

function signatureOf(
  tensors: readonly { name: string; datatype: Datatype; shape: readonly number[] }[],
  maxBatchSize = 0,
): ServedSignature {
  const served = tensors.map((spec, index) => ({ index, spec, reshape: undefined, labels: [] }));
  return { model: 'M', version: 3, maxBatchSize, inputs: served, outputs: served };
}

type Part = Partial<ModelInferRequest>;

function encode(part: Part): Uint8Array {
  const whole: ModelInferRequest = {
    modelName: 'M',
    modelVersion: '',
    id: '',
    parameters: new Map(),
    inputs: [],
    outputs: [],
    rawInputContents: [],
    ...part,
  };
  return ModelInferRequest.encode(whole).finish();
}

function input(
  name: string,
  datatype: string,
  shape: readonly number[],
  contents?: Partial<InferTensorContents>,
): ModelInferRequest_InferInputTensor {
  return {
    name,
    datatype,
    shape: shape.map(BigInt),
    parameters: new Map(),
    contents: contents === undefined ? undefined : { ...EMPTY, ...contents },
  };
}

function refusal(part: Part, signature: ServedSignature): StatusError {
  try {
    checkRequest(decodeRequest(encode(part)), signature);
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('the request was accepted');
}

const float32 = (values: readonly number[]): Uint8Array =>
  new Uint8Array(new Float32Array(values).buffer);

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

const TWO = signatureOf([
  { name: 'A', datatype: 'INT32', shape: [16] },
  { name: 'B', datatype: 'BYTES', shape: [-1] },
]);
const a = input('A', 'INT32', [16]);
const b = input('B', 'BYTES', [1]);
const aRaw = new Uint8Array(64);
const bRaw = encodeStrings(['x']);
const ints = Array.from({ length: 16 }, (_, at) => at);

test('inputs that are missing, unknown or twice are named', (t) => {
  const cases: [Part, string][] = [
    [
      { inputs: [a] },
      "expected 2 inputs but got 1 inputs for model 'M'. Got input(s) ['A'], but missing required " +
        "input(s) ['B']. Please provide all required input(s).",
    ],
    [{ inputs: [a, input('X', 'INT32', [1])] }, "unexpected inference input 'X' for model 'M'"],
    [{ inputs: [a, a] }, "input 'A' already exists in request"],
    [
      { inputs: [a, b], outputs: [{ name: 'Z', parameters: new Map() }] },
      "unexpected inference output 'Z' for model 'M'",
    ],
    [
      { inputs: [a, b], outputs: ['A', 'A'].map((name) => ({ name, parameters: new Map() })) },
      "output 'A' already exists in request",
    ],
    [{ id: 'x7', inputs: [a, a] }, "[request id: x7] input 'A' already exists in request"],
  ];
  for (const [part, message] of cases) {
    const error = refusal(part, TWO);
    t.is(error.message, message);
    t.is(error.code, Code.INVALID_ARGUMENT);
  }
});

test('a wrong datatype or shape says what came and what was expected', (t) => {
  const wrongType = refusal({ inputs: [input('A', 'FP32', [16]), b] }, TWO);
  t.is(wrongType.message, "inference input 'A' data-type is 'FP32', but model 'M' expects 'INT32'");
  for (const shape of [[8], [16, 1], [], [-16], [2 ** 40]]) {
    const { message } = refusal({ inputs: [input('A', 'INT32', shape), b] }, TWO);
    t.true(
      message.startsWith(
        `unexpected shape for input 'A' for model 'M'. Expected [16], got [${shape.join(',')}].`,
      ),
      message,
    );
  }
  const tooLarge = [[2 ** 40], [Number.MAX_SAFE_INTEGER]];
  for (const shape of tooLarge) {
    const { message } = refusal({ inputs: [a, input('B', 'BYTES', shape)] }, TWO);
    t.true(message.includes('is too large'), message);
  }
  const open = signatureOf([{ name: 'C', datatype: 'FP32', shape: [-1, -1] }]);
  for (const shape of [
    [0, 2 ** 40],
    [2 ** 31, 2 ** 31],
  ]) {
    t.true(refusal({ inputs: [input('C', 'FP32', shape)] }, open).message.includes('too large'));
  }
});

test('batch sizes are 1 to max_batch_size and the same in all inputs', (t) => {
  const batched = signatureOf(
    [
      { name: 'A', datatype: 'FP32', shape: [-1, 2] },
      { name: 'B', datatype: 'FP32', shape: [-1] },
    ],
    8,
  );
  const send = (rowsA: number, rowsB: number): Part => ({
    inputs: [input('A', 'FP32', [rowsA, 2]), input('B', 'FP32', [rowsB])],
    rawInputContents: [float32(new Array(rowsA * 2)), float32(new Array(rowsB))],
  });
  t.is(checkRequest(decodeRequest(encode(send(8, 8))), batched).rows, 8);
  t.is(refusal(send(9, 9), batched).message, "inference request batch-size must be <= 8 for 'M'");
  t.is(refusal(send(0, 0), batched).message, "inference request batch-size must be >= 1 for 'M'");
  t.is(
    refusal(send(2, 3), batched).message,
    "input 'B' batch size does not match other inputs for 'M'",
  );
});

test('data that are too short, too long, absent, mixed or of another kind are refused', (t) => {
  const typed = (contents: Partial<InferTensorContents>): Part => ({
    inputs: [
      input('A', 'INT32', [16], contents),
      input('B', 'BYTES', [1], { bytesContents: [bRaw] }),
    ],
  });
  const cases: [Part, string][] = [
    [
      { inputs: [a, b], rawInputContents: [aRaw.subarray(4), bRaw] },
      "input byte size mismatch for input 'A' for model 'M'. Expected 64, got 60",
    ],
    [
      { inputs: [a, b], rawInputContents: [aRaw] },
      "unable to find data for input tensor 'B' for model 'M' in request.",
    ],
    [{ inputs: [a, b] }, "unable to find data for input tensor 'A' for model 'M' in request."],
    [
      {
        inputs: [input('A', 'INT32', [16], { intContents: ints }), b],
        rawInputContents: [aRaw, bRaw],
      },
      "contents field must not be specified when using raw_input_contents for 'A' for model 'M'",
    ],
    [
      typed({ int64Contents: [1n] }),
      "unexpected explicit tensor data for input tensor 'A' for model 'M' of type 'INT64', expected " +
        "datatype 'INT32'",
    ],
    [
      typed({ intContents: ints.slice(1) }),
      "input byte size mismatch for input 'A' for model 'M'. Expected 64, got 60",
    ],
  ];
  for (const [part, message] of cases) t.is(refusal(part, TWO).message, message);
  const half = signatureOf([{ name: 'H', datatype: 'FP16', shape: [1] }]);
  t.is(
    refusal({ inputs: [input('H', 'FP16', [1], { fp32Contents: [1] })] }, half).message,
    "unexpected explicit tensor data for input tensor 'H' for model 'M' of type 'FP32', expected " +
      "datatype 'FP16'; FP16 goes in raw_input_contents",
  );
  const small = signatureOf([{ name: 'S', datatype: 'INT8', shape: [2] }]);
  t.is(
    refusal({ inputs: [input('S', 'INT8', [2], { intContents: [1, 300] })] }, small).message,
    "value 300 of element 1 of input 'S' for model 'M' does not fit datatype 'INT8'",
  );
});

test('BYTES must be whole elements of UTF-8, as many as the shape says', (t) => {
  const send = (...raw: (string | Uint8Array)[]): Part => ({
    inputs: [a, b],
    rawInputContents: [aRaw, Buffer.concat(raw.map((part) => Buffer.from(part)))],
  });
  const length = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const name = "inference input 'B' for model 'M'";
  const cases: [Part, string][] = [
    [
      send(length(9), 'abc'),
      `incomplete string data for ${name}, expecting string of length 9 but only 3 bytes available`,
    ],
    [
      send(length(1), 'a', 'b'),
      `incomplete string length indicator for ${name}, expecting 4 bytes but only 1 bytes available`,
    ],
    [
      send(encodeStrings(['a', 'b'])),
      `unexpected number of string elements 2 for ${name}, expecting 1`,
    ],
    [send(), `expected 1 string elements for ${name}, got 0`],
    [
      send(length(2), new Uint8Array([0x61, 0xff])),
      `string element 0 of ${name} is not valid UTF-8, which BYTES must be`,
    ],
    [
      {
        inputs: [
          input('A', 'INT32', [16], { intContents: ints }),
          input('B', 'BYTES', [1], { bytesContents: [new Uint8Array([0xc3])] }),
        ],
      },
      `string element 0 of ${name} is not valid UTF-8, which BYTES must be`,
    ],
  ];
  for (const [part, message] of cases) t.is(refusal(part, TWO).message, message);
});

test('parameters of the wrong type, and reserved keys, are refused', (t) => {
  const stringParam = { parameterChoice: { $case: 'stringParam' as const, stringParam: 'x' } };
  const negative = { parameterChoice: { $case: 'int64Param' as const, int64Param: -1n } };
  const cases = [
    ['timeout', stringParam, "invalid value type for 'timeout' parameter, expected int64_param."],
    [
      'sequence_start',
      stringParam,
      "invalid value type for 'sequence_start' parameter, expected bool_param.",
    ],
    ['priority', negative, "invalid value for 'priority', expected value >= 0."],
    [
      'triton_x',
      stringParam,
      "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys " +
        "starting with 'triton_' are allowed: triton_enable_empty_final_response",
    ],
  ] as const;
  for (const [key, value, message] of cases) {
    t.is(refusal({ parameters: new Map([[key, value]]), inputs: [a, b] }, TWO).message, message);
  }
  const region = new Map([['shared_memory_region', stringParam]]);
  const shared = refusal({ inputs: [{ ...a, parameters: region }, b] }, TWO);
  t.is(shared.code, Code.NOT_FOUND);
  t.true(shared.message.startsWith("Unable to find shared memory region: 'x'"));
});

test('numbers of things in a request are bounded', (t) => {
  const name = { name: 'A', parameters: new Map() };
  t.throws(() => decodeRequest(encode({ outputs: new Array(1025).fill(name) })), {
    message: /at most 1024/,
  });
  t.throws(() => decodeRequest(encode({ inputs: [input('A', 'FP32', new Array(65).fill(1))] })), {
    message: /at most 64 dimensions/,
  });
  const parameters = new Map(
    Array.from({ length: 1025 }, (_, at) => [
      `p${at}`,
      { parameterChoice: { $case: 'boolParam' as const, boolParam: true } },
    ]),
  );
  t.throws(() => decodeRequest(encode({ parameters })), { message: /at most 1024 parameters/ });
  const { raw } = decodeRequest(encode({ rawInputContents: new Array(5000).fill(aRaw) }));
  t.is(raw.length, 1024);
});

test('a reshaped tensor reaches the model in its own shape', (t) => {
  const signature: ServedSignature = {
    ...TWO,
    maxBatchSize: 4,
    inputs: [
      {
        index: 0,
        spec: { name: 'A', datatype: 'UINT8', shape: [-1, 1, -1] },
        reshape: [-1, 1, 1],
        labels: [],
      },
    ],
  };
  const request = encode({
    inputs: [input('A', 'UINT8', [2, 1, 3])],
    rawInputContents: [new Uint8Array(6)],
  });
  const [tensor] = checkRequest(decodeRequest(request), signature).inputs;
  t.deepEqual(tensor?.shape, [2, 3, 1, 1]);
});
