import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import type { InferTensorContents } from '../../proto/gen/inference/grpc_service.ts';
import {
  encode,
  float32,
  input,
  type Part,
  signatureOf,
} from '../../test/support/infer-messages.ts';
import { checkRequest } from './check.ts';
import { encodeStrings } from './classification.ts';
import { decodeRequest } from './request.ts';
import type { ServedSignature } from './signature.ts';

function refusal(part: Part, signature: ServedSignature): StatusError {
  try {
    checkRequest(decodeRequest(encode(part)), signature);
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('the request was accepted');
}

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
      "expected 2 inputs but got 1 inputs for model 'M'. Got input(s) ['A'], but missing " +
        "required input(s) ['B']. Please provide all required input(s).",
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
      "unexpected explicit tensor data for input tensor 'A' for model 'M' of type 'INT64', " +
        "expected datatype 'INT32'",
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
      `incomplete string length indicator for ${name}, expecting 4 bytes but only 1 bytes ` +
        'available',
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
      "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following " +
        "keys starting with 'triton_' are allowed: triton_enable_empty_final_response",
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
