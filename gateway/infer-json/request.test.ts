import test from 'ava';
import fc from 'fast-check';
import { StatusError } from '../../common/status.ts';
import { ModelInferRequest } from '../../proto/gen/inference/grpc_service.ts';
import { type InferCall, readInferBody } from './request.ts';
import { atOnce } from './slices.ts';

const MAX_TENSOR_BYTES = 1024 * 1024;

function readBytes(bytes: Buffer, jsonBytes = bytes.length): InferCall {
  const body = { model: 'm', version: '', bytes, jsonBytes, maxTensorBytes: MAX_TENSOR_BYTES };
  return atOnce(readInferBody(body));
}

function read(json: unknown, ...blobs: readonly Uint8Array[]): InferCall {
  const head = Buffer.from(typeof json === 'string' ? json : JSON.stringify(json));
  return readBytes(Buffer.concat([head, ...blobs]), head.length);
}

const input = (fields: Record<string, unknown>) => ({
  inputs: [{ name: 'X', datatype: 'INT32', shape: [2], data: [1, 2], ...fields }],
});

test('a request becomes a message, every part in its place', (t) => {
  const { message, isBinary } = read({
    id: 'r1',
    parameters: {
      sequence_id: 7,
      sequence_start: true,
      note: 'n',
      ratio: 0.5,
      binary_data_output: true,
    },
    inputs: [
      { name: 'A', shape: [1, 2], datatype: 'FP32', data: [[1.5, -2]], parameters: { k: 'v' } },
      { data: ['a', 'é'], name: 'B', shape: [2], datatype: 'BYTES' },
    ],
    outputs: [{ name: 'Y', parameters: { classification: 3, binary_data: false } }, { name: 'Z' }],
  });
  t.deepEqual(
    ModelInferRequest.toJSON(ModelInferRequest.decode(ModelInferRequest.encode(message).finish())),
    ModelInferRequest.toJSON(message),
  );
  t.is(message.modelName, 'm');
  t.is(message.id, 'r1');
  t.deepEqual(message.parameters.get('sequence_id')?.parameterChoice, {
    $case: 'int64Param',
    int64Param: 7n,
  });
  t.deepEqual([...message.parameters.keys()], ['sequence_id', 'sequence_start', 'note', 'ratio']);
  t.deepEqual(
    message.inputs.map(({ name, datatype, shape }) => [name, datatype, shape]),
    [
      ['A', 'FP32', [1n, 2n]],
      ['B', 'BYTES', [2n]],
    ],
  );
  t.deepEqual(Buffer.from(message.rawInputContents[0] ?? []).readFloatLE(4), -2);
  t.is(
    Buffer.from(message.rawInputContents[1] ?? []).toString('latin1'),
    '\x01\0\0\0a\x02\0\0\0\xc3\xa9',
  );
  t.deepEqual([...(message.outputs[0]?.parameters.keys() ?? [])], ['classification']);
  t.false(isBinary('Y'));
  t.true(isBinary('Z'));
});

test('tensors in binary stand behind the JSON, in order, mixed with others', (t) => {
  const { message } = read(
    {
      inputs: [
        { name: 'A', datatype: 'FP16', shape: [1], parameters: { binary_data_size: 2 } },
        { name: 'B', datatype: 'UINT8', shape: [1], data: [9] },
        { name: 'C', datatype: 'INT8', shape: [3], parameters: { binary_data_size: 3 } },
      ],
    },
    Buffer.from([1, 2, 3, 4, 5]),
  );
  t.deepEqual(
    message.rawInputContents.map((raw) => [...raw]),
    [[1, 2], [9], [3, 4, 5]],
  );
  t.is(message.inputs[0]?.parameters.size, 0);
});

test('binary data that is short or left over is refused', (t) => {
  const json = input({ data: undefined, parameters: { binary_data_size: 8 } });
  t.throws(() => read(json, Buffer.alloc(5)), {
    message: "unexpected size for input 'X', expecting 3 additional bytes for model 'm'",
  });
  t.throws(() => read(json, Buffer.alloc(9)), {
    message: /unexpected additional input data.*1 bytes/,
  });
  for (const size of [-1, 1.5, '8', true, 1e300]) {
    const wrong = input({ parameters: { binary_data_size: size } });
    t.throws(() => read(wrong), { message: /binary_data_size/ }, String(size));
  }
});

test('what is missing or wrong is named', (t) => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [{}, /Unable to parse 'inputs': attempt to access non-existing object member 'inputs'/],
    [{ inputs: {} }, /'inputs'.*non-array/],
    [{ inputs: [1] }, /an input must be an object/],
    [input({ name: undefined }), /non-existing object member 'name'/],
    [input({ name: 5 }), /'name'.*non-string/],
    [input({ datatype: 'FLOAT' }), /input 'X' data-type is 'FLOAT'/],
    [input({ datatype: 'FP16' }), /receiving FP16 data via JSON is not supported.*input X/],
    [input({ datatype: 'BF16' }), /receiving BF16 data via JSON/],
    [input({ shape: undefined }), /non-existing object member 'shape'/],
    [input({ shape: [-1] }), /'shape'.*input 'X' must be whole numbers/],
    [input({ shape: [1.5] }), /'shape'/],
    [input({ shape: ['2'] }), /'shape'/],
    [input({ shape: [2 ** 40, 2 ** 40] }), /total element count to exceed/],
    [input({ shape: [2 ** 40, 0, 2 ** 40] }), /total element count to exceed/],
    [input({ data: undefined }), /unable to find data for input tensor 'X' for model 'm'/],
    [input({ data: 5 }), /'data'.*must be a list/],
    [input({ data: '\u0000data 0' }), /must be a list/],
    [input({ data: { a: 1 } }), /must be a list/],
    [input({ data: [1] }), /Shape does not match true shape of 'data' field of input 'X'/],
    [input({ parameters: { a: [1] } }), /'parameters': 'a' must be/],
    [{ ...input({}), parameters: [] }, /'parameters'/],
    [{ ...input({}), id: 5 }, /'id'/],
    [{ ...input({}), outputs: [{}] }, /member 'name'/],
    [[], /the request must be an object/],
    ['', /failed to parse the request JSON buffer/],
    ['{"inputs":[}', /failed to parse the request JSON buffer/],
    ['{"inputs":[{"data":[1,2', /list at byte \d+ is not closed/],
    [`${'['.repeat(200)}`, /nesting depth exceeds maximum allowed limit \(100\)/],
    [`{"inputs":[{"data":${'['.repeat(200)}`, /nesting depth exceeds/],
    [`{"x":"${'y'.repeat(2_000_000)}"}`, /apart from its data is larger/],
  ];
  for (const [json, message] of cases) {
    const error = t.throws(() => read(json), { message }, JSON.stringify(json)?.slice(0, 80));
    t.true(error instanceof StatusError);
  }
});

test('tensors past the limit are refused before memory is taken', (t) => {
  const zeros = (count: number) => Array.from({ length: count }, () => 0);
  const half = { datatype: 'FP64', shape: [70_000], data: zeros(70_000) };
  t.notThrows(() => read({ inputs: [{ name: 'A', ...half }] }));
  t.throws(
    () =>
      read({
        inputs: [
          { name: 'A', ...half },
          { name: 'B', ...half },
        ],
      }),
    {
      message: /tensors are larger than the limit of 1 MiB \(1048576 bytes\)/,
    },
  );
});

test('text that is not UTF-8 is refused', (t) => {
  const bytes = Buffer.from(JSON.stringify({ ...input({}), id: '?' }));
  bytes[bytes.lastIndexOf('?')] = 0xff;
  t.throws(() => readBytes(bytes), { message: /not valid UTF-8/ });
});

test('keys may be escaped or doubled, data may come first: nothing breaks', (t) => {
  t.throws(() => read('{"inputs":[{"name":"X","d\\u0061ta":[1],"shape":[1],"datatype":"INT8"}]}'), {
    message: /must be a list/,
  });
  const doubled = '{"inputs":[{"data":[1,2],"data":[7],"name":"X","shape":[1],"datatype":"INT8"}]}';
  t.deepEqual([...(read(doubled).message.rawInputContents[0] ?? [])], [7]);
  const text = '{"inputs":[{"name":"data","shape":[1],"datatype":"BYTES","data" : ["data"]}]}';
  t.is(read(text).message.inputs[0]?.name, 'data');
});

const good = JSON.stringify({
  id: 'x',
  parameters: { a: 1, b: 'c', binary_data_output: false },
  inputs: [
    {
      name: 'A',
      shape: [2, 2],
      datatype: 'FP32',
      data: [
        [1, 2],
        [3, 'NaN'],
      ],
    },
    { name: 'B', shape: [1], datatype: 'INT64', data: [2 ** 53 - 1] },
    { name: 'C', shape: [2], datatype: 'BYTES', data: ['a"]', { b64: 'AAAA' }] },
    { name: 'D', shape: [3], datatype: 'INT8', parameters: { binary_data_size: 3 } },
  ],
  outputs: [{ name: 'Y', parameters: { binary_data: true } }],
});

function onlyStatusErrors(bytes: Buffer, jsonBytes: number): boolean {
  try {
    readBytes(bytes, Math.min(jsonBytes, bytes.length));
    return true;
  } catch (thrown) {
    return thrown instanceof StatusError;
  }
}

test('whatever comes, it is read or refused with a StatusError', (t) => {
  const whole = Buffer.concat([Buffer.from(good), Buffer.from([1, 2, 3])]);
  t.notThrows(() => readBytes(whole, good.length));
  const edits = fc.array(
    fc.record({
      at: fc.nat(whole.length - 1),
      cut: fc.nat(6),
      put: fc.oneof(
        fc.constantFrom('[', ']', '{', '}', '"', ',', ':', '\\', '-', '1e999', 'null', '\u0000'),
        fc.constantFrom('"data":[', '"b64"', '9'.repeat(30), '{"b64":"', '[[[[', '\\u', '0', '-1'),
        fc.string(),
      ),
    }),
    { minLength: 1, maxLength: 5 },
  );
  fc.assert(
    fc.property(edits, fc.nat(whole.length + 40), (changes, jsonBytes) => {
      let bytes = whole;
      for (const { at, cut, put } of changes) {
        const start = Math.min(at, bytes.length);
        bytes = Buffer.concat([
          bytes.subarray(0, start),
          Buffer.from(put),
          bytes.subarray(start + cut),
        ]);
      }
      return onlyStatusErrors(bytes, bytes.length - 3) && onlyStatusErrors(bytes, jsonBytes);
    }),
    { numRuns: 3000 },
  );
  fc.assert(fc.property(fc.json(), (text) => onlyStatusErrors(Buffer.from(text), text.length)));
  fc.assert(fc.property(fc.uint8Array(), (raw) => onlyStatusErrors(Buffer.from(raw), raw.length)));
  t.pass();
});
