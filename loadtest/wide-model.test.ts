import test from 'ava';
import { ModelInferRequest, ModelInferResponse } from '../proto/gen/inference/grpc_service.ts';
import { wideCheck, wideRequest } from './wide-model.ts';

test('an answer is right when each number is the negative of what was sent', (t) => {
  const [sent] = ModelInferRequest.decode(wideRequest(64)).rawInputContents;
  const floats = new Float32Array(new Uint8Array(sent ?? []).buffer);
  const response = (values: Float32Array<ArrayBuffer>): Uint8Array =>
    ModelInferResponse.encode(
      ModelInferResponse.fromPartial({ rawOutputContents: [new Uint8Array(values.buffer)] }),
    ).finish();
  const isRight = wideCheck(64);
  t.is(floats.length, 16);
  t.true(isRight(response(floats.map((value) => -value))));
  t.false(isRight(response(floats)));
  t.false(isRight(response(floats.map((value) => -value).slice(1))));
  t.false(isRight(ModelInferResponse.encode(ModelInferResponse.fromPartial({})).finish()));
});
