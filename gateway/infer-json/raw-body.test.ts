import test from 'ava';
import { DataType, ModelConfig } from '../../proto/gen/inference/model_config.ts';
import { rawBodyRequest } from './raw-body.ts';

function config(dataType: number, dims: readonly number[], maxBatchSize = 0): ModelConfig {
  return ModelConfig.fromPartial({
    name: 'm',
    maxBatchSize,
    input: [{ name: 'X', dataType: dataType as DataType, dims: dims.map(BigInt) }],
  });
}

const shapeOf = (model: ModelConfig, body: Buffer) =>
  rawBodyRequest(model, '', body).inputs[0]?.shape;

test('the shape follows from the configuration and the length', (t) => {
  t.deepEqual(shapeOf(config(DataType.TYPE_FP32, [2, 3]), Buffer.alloc(24)), [2n, 3n]);
  t.deepEqual(shapeOf(config(DataType.TYPE_FP32, [2, -1], 8), Buffer.alloc(24)), [1n, 2n, 3n]);
  t.deepEqual(shapeOf(config(DataType.TYPE_INT8, [-1]), Buffer.alloc(0)), [0n]);
});

test('one string is given as it is', (t) => {
  const request = rawBodyRequest(config(DataType.TYPE_STRING, [1]), '2', Buffer.from('hey'));
  t.is(request.inputs[0]?.datatype, 'BYTES');
  t.is(request.modelVersion, '2');
  t.deepEqual(request.rawInputContents, [Buffer.from('\x03\0\0\0hey')]);
});

test('what cannot be told is refused', (t) => {
  const wrong: readonly (readonly [ModelConfig, number])[] = [
    [config(DataType.TYPE_FP32, [2, 3]), 20],
    [config(DataType.TYPE_FP32, [-1]), 5],
    [config(DataType.TYPE_FP32, [-1, -1]), 16],
    [config(DataType.TYPE_STRING, [2]), 5],
    [config(DataType.TYPE_FP32, [0, -1]), 5],
  ];
  for (const [model, length] of wrong) {
    t.throws(() => rawBodyRequest(model, '', Buffer.alloc(length)), { message: /Raw request/ });
  }
  const two = config(DataType.TYPE_FP32, [1]);
  two.input.push(...config(DataType.TYPE_FP32, [1]).input);
  t.throws(() => rawBodyRequest(two, '', Buffer.alloc(4)), {
    message:
      "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'm' model " +
      'configuration',
  });
});
