import test from 'ava';
import fc from 'fast-check';
import {
  ModelInferRequest,
  ModelInferResponse,
  ModelStreamInferResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import { encodeStreamAnswer, encodeStreamError } from './stream-answer.ts';

const FINAL = {
  parameterChoice: { $case: 'boolParam' as const, boolParam: true },
};

test('around an answer of any size there is the same answer, said to be the last', (t) => {
  const sizes = fc.oneof(fc.nat(300), fc.constantFrom(16_300, 16_384, 2_097_100, 2_097_152));
  fc.assert(
    fc.property(fc.string(), sizes, (id, sizeBytes) => {
      const answer = ModelInferResponse.fromPartial({
        modelName: 'm',
        id,
        rawOutputContents: [Buffer.alloc(sizeBytes, 7)],
      });
      const bytes = encodeStreamAnswer(ModelInferResponse.encode(answer).finish());
      const { errorMessage, inferResponse } = ModelStreamInferResponse.decode(bytes);
      t.is(errorMessage, '');
      t.is(inferResponse?.id, id);
      t.is(inferResponse?.rawOutputContents[0]?.length, sizeBytes);
      t.deepEqual(inferResponse?.parameters, new Map([['triton_final_response', FINAL]]));
    }),
    { numRuns: 50 },
  );
});

test('an error has the id of its request, and nothing of what is no request', (t) => {
  const request = ModelInferRequest.encode(
    ModelInferRequest.fromPartial({
      modelName: 'm',
      id: 'r-1',
      rawInputContents: [Buffer.from('x')],
    }),
  ).finish();
  const told = ModelStreamInferResponse.decode(encodeStreamError('no', request));
  t.is(told.errorMessage, 'no');
  t.is(told.inferResponse?.id, 'r-1');
  const cut = request.subarray(0, 5);
  t.is(ModelStreamInferResponse.decode(encodeStreamError('no', cut)).inferResponse?.id, '');
});
