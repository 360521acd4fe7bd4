import test from 'ava';
import type { TensorSpec } from '../../common/tensor.ts';
import { ModelInferRequest } from '../../proto/gen/inference/grpc_service.ts';
import { encodeRows, labelsOf, parseJsonRows, parsePlainCsv } from './rows.ts';

test('a model with one input takes all columns but the target, in their order', (t) => {
  const data = parsePlainCsv('a,b,target\n1,2,7\n3,4,8\r\n');
  const inputs: TensorSpec[] = [{ name: 'features', datatype: 'FP32', shape: [-1, 2] }];
  const request = ModelInferRequest.decode(encodeRows('m', inputs, data, 'target', [1, 0]));
  t.is(request.modelName, 'm');
  t.deepEqual(request.inputs[0]?.shape, [2n, 2n]);
  const raw = request.rawInputContents[0] ?? new Uint8Array();
  t.deepEqual([...new Float32Array(raw.slice().buffer)], [3, 4, 1, 2]);
});

test('a model with an input for each column takes each from its column; null is missing', (t) => {
  const data = parseJsonRows('[{"kind":"x","size":null,"y":1},{"kind":null,"size":2.5,"y":0}]');
  const inputs: TensorSpec[] = [
    { name: 'size', datatype: 'FP32', shape: [-1, 1] },
    { name: 'kind', datatype: 'BYTES', shape: [-1, 1] },
  ];
  const request = ModelInferRequest.decode(encodeRows('m', inputs, data, 'y', [0, 1]));
  const [size, kind] = request.rawInputContents;
  t.deepEqual([...new Float32Array((size ?? new Uint8Array()).slice().buffer)], [Number.NaN, 2.5]);
  t.deepEqual(labelsOf('BYTES', kind ?? new Uint8Array()), ['x', '']);
});

test('labels are read as text, numbers and strings alike', (t) => {
  const numbers = new Uint8Array(BigInt64Array.from([7n, -1n]).buffer);
  t.deepEqual(labelsOf('INT64', numbers), ['7', '-1']);
});
