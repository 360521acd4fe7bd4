// ModelStreamInferResponse, around the bytes of a ModelInferResponse that are there already. Every
// model here gives one answer a request, so each carries the parameter that says that it is the
// last one for its request: clients of decoupled models wait for it.
// Field numbers: proto/inference/grpc_service.proto.
import { toBuffer } from '../../common/bytes.ts';
import {
  ModelInferResponse,
  ModelStreamInferResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import { WireReader } from '../../proto/wire.ts';

const INFER_RESPONSE_TAG = (2 << 3) | 2;
const REQUEST_ID_TAG = (3 << 3) | 2;

/** Field 4 of a ModelInferResponse: parameters["triton_final_response"] = true. */
const FINAL = ModelInferResponse.encode(
  ModelInferResponse.fromPartial({
    parameters: new Map([
      ['triton_final_response', { parameterChoice: { $case: 'boolParam', boolParam: true } }],
    ]),
  }),
).finish();

/** @param response a ModelInferResponse; copied once */
export function encodeStreamAnswer(response: Uint8Array): Uint8Array {
  const lengthBytes = response.length + FINAL.length;
  const prefix = [INFER_RESPONSE_TAG];
  let rest = lengthBytes;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) prefix.push((rest % 0x80) | 0x80);
  prefix.push(rest);
  const answer = Buffer.allocUnsafe(prefix.length + lengthBytes);
  answer.set(prefix, 0);
  answer.set(response, prefix.length);
  answer.set(FINAL, prefix.length + response.length);
  return answer;
}

/** Says what was wrong with a request; its id is the one thing that is told of it. */
export function encodeStreamError(errorMessage: string, request: Uint8Array): Uint8Array {
  const inferResponse = ModelInferResponse.fromPartial({ id: requestIdOf(request) });
  return ModelStreamInferResponse.encode({ errorMessage, inferResponse }).finish();
}

/** '' where there is none, or the bytes are no request. */
function requestIdOf(request: Uint8Array): string {
  const reader = new WireReader(toBuffer(request));
  let id = '';
  try {
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === REQUEST_ID_TAG) id = reader.text();
      else reader.skip(tag);
    }
  } catch {
    // It is told with the id that stood before what is malformed.
  }
  return id;
}
