import test from 'ava';
import type { ModelInferResponse } from '../../proto/gen/inference/grpc_service.ts';
import { inferAnswer } from './response.ts';

function response(fields: Partial<ModelInferResponse>): ModelInferResponse {
  return {
    modelName: 'm',
    modelVersion: '3',
    id: '',
    parameters: new Map(),
    outputs: [],
    rawOutputContents: [],
    ...fields,
  };
}

const output = (name: string, datatype: string, shape: readonly bigint[]) => ({
  name,
  datatype,
  shape: [...shape],
  parameters: new Map(),
  contents: undefined,
});

test('keys come in the order that clients know, parameters only when there are some', (t) => {
  const one = response({
    id: 'r',
    outputs: [output('Y', 'INT64', [1n, 2n]), output('L', 'BYTES', [1n])],
    rawOutputContents: [
      Buffer.from(BigInt64Array.from([1n, 2n ** 60n]).buffer),
      Buffer.from([2, 0, 0, 0, 0xff, 0xfe]),
    ],
  });
  const { json, blobs } = inferAnswer(one, () => false);
  t.is(
    [...json].join(''),
    '{"id":"r","model_name":"m","model_version":"3","outputs":[' +
      '{"name":"Y","datatype":"INT64","shape":[1,2],"data":[1,1152921504606846976]},' +
      '{"name":"L","datatype":"BYTES","shape":[1],"data":[{"b64":"//4="}]}]}',
  );
  t.is(blobs, undefined);
});

test('parameters are printed by their kind', (t) => {
  const parameters = new Map([
    ['a', { parameterChoice: { $case: 'boolParam' as const, boolParam: true } }],
    ['b', { parameterChoice: { $case: 'int64Param' as const, int64Param: 2n ** 62n } }],
    ['c', { parameterChoice: { $case: 'doubleParam' as const, doubleParam: Infinity } }],
    ['d', { parameterChoice: undefined }],
  ]);
  const { json } = inferAnswer(response({ parameters }), () => false);
  t.is(
    [...json].join(''),
    '{"model_name":"m","model_version":"3",' +
      '"parameters":{"a":true,"b":4611686018427387904,"c":"Infinity"},"outputs":[]}',
  );
});

test('an output that is wanted in binary stands behind the JSON', (t) => {
  const one = response({
    outputs: [output('A', 'FP16', [2n]), output('B', 'UINT8', [2n])],
    rawOutputContents: [Buffer.from([1, 2, 3, 4]), Buffer.from([5, 6])],
  });
  const { json, blobs } = inferAnswer(one, (name) => name === 'A');
  t.deepEqual(blobs, [Buffer.from([1, 2, 3, 4])]);
  const parsed = JSON.parse([...json].join('')) as { outputs: Record<string, unknown>[] };
  t.deepEqual(parsed.outputs[0]?.parameters, { binary_data_size: 4 });
  t.is(parsed.outputs[0]?.data, undefined);
  t.deepEqual(parsed.outputs[1]?.data, [5, 6]);
});

test('FP16 as JSON is refused; an output without data is an error of the node', (t) => {
  const half = response({
    outputs: [output('A', 'FP16', [1n])],
    rawOutputContents: [Buffer.alloc(2)],
  });
  t.throws(() => inferAnswer(half, () => false), {
    message: /sending FP16 data via JSON.*output A/,
  });
  t.throws(() => inferAnswer({ ...half, rawOutputContents: [] }, () => true), {
    message: /came without data/,
  });
});
