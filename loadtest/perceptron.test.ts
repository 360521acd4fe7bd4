import test from 'ava';
import { ModelInferResponse } from '../proto/gen/inference/grpc_service.ts';
import { perceptronAnswer, perceptronCheck } from './perceptron.ts';

const MODEL = { name: 'm', widths: [784, 512, 10] };

function response(values: readonly number[]): Uint8Array {
  const raw = new Uint8Array(Float32Array.from(values).buffer);
  return ModelInferResponse.encode(
    ModelInferResponse.fromPartial({ modelName: 'm', rawOutputContents: [raw] }),
  ).finish();
}

test('answers of a model are told from others', (t) => {
  const expected = [...perceptronAnswer(MODEL)];
  t.true(Math.abs(expected.reduce((sum, one) => sum + one, 0) - 1) < 1e-9);
  const isRight = perceptronCheck(MODEL);
  t.true(isRight(response(expected)));
  t.false(isRight(response(expected.slice(1))));
  t.false(isRight(response([...expected].reverse())));
  t.false(isRight(response([])));
});
