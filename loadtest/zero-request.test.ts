import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { ModelInferRequest, ModelMetadataResponse } from '../proto/gen/inference/grpc_service.ts';
import { zeroRequest } from './zero-request.ts';

const metadata = ModelMetadataResponse.fromPartial({
  name: 'm',
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [-1n, 16n] },
    { name: 'text', datatype: 'BYTES', shape: [-1n, -1n] },
  ],
});

test('as many rows as asked, other open dimensions 1, texts empty', (t) => {
  const request = ModelInferRequest.decode(zeroRequest(metadata, 3));
  t.is(request.modelName, 'm');
  t.deepEqual(
    request.inputs.map(({ name, datatype, shape }) => [name, datatype, shape]),
    [
      ['x', 'FP32', [3n, 16n]],
      ['text', 'BYTES', [3n, 1n]],
    ],
  );
  t.deepEqual(
    request.rawInputContents.map(({ length }) => length),
    [3 * 16 * 4, 3 * 4],
  );
});

test('rows that the model or a message has no room for are refused', (t) => {
  const fixed = ModelMetadataResponse.fromPartial({
    inputs: [{ name: 'x', datatype: 'INT64', shape: [1n] }],
  });
  t.notThrows(() => zeroRequest(fixed, 1));
  for (const [model, rows] of [
    [fixed, 2],
    [metadata, 2_000_000],
  ] as const) {
    const error = t.throws(() => zeroRequest(model, rows), { instanceOf: StatusError });
    t.is(error.code, Code.INVALID_ARGUMENT);
  }
});
