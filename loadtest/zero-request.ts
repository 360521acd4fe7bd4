// A ModelInfer request for whatever model there is, made of its metadata: zeros of the right
// shapes, texts empty. What a model answers to zeros means nothing; what it costs does.
import { invalidArgument } from '../common/status.ts';
import { elementCount, elementSizeBytes, isDatatype } from '../common/tensor.ts';
import {
  ModelInferRequest,
  type ModelMetadataResponse,
} from '../proto/gen/inference/grpc_service.ts';
import { MAX_MESSAGE_BYTES } from '../transport/backend.ts';

/** A BYTES element is a length in 4 bytes, then as many bytes. */
const EMPTY_TEXT_BYTES = 4;

/**
 * @param rows goes into the first dimension where that is open; other open ones are 1.
 * @throws INVALID_ARGUMENT when the model can't take so many rows, or they fit in no message.
 */
export function zeroRequest(metadata: ModelMetadataResponse, rows: number): Uint8Array {
  const inputs = metadata.inputs.map(({ name, datatype, shape }) => {
    if (!isDatatype(datatype)) throw invalidArgument(`input '${name}' is ${datatype}`);
    if (rows > 1 && shape[0] !== -1n) {
      throw invalidArgument(`input '${name}' [${shape.join(',')}] takes one row, not ${rows}`);
    }
    const dims = shape.map((dim, at) => (dim >= 0n ? Number(dim) : at === 0 ? rows : 1));
    const elementBytes = datatype === 'BYTES' ? EMPTY_TEXT_BYTES : elementSizeBytes(datatype);
    return { name, datatype, dims, sizeBytes: elementCount(dims) * elementBytes };
  });
  const sizeBytes = inputs.reduce((sum, input) => sum + input.sizeBytes, 0);
  if (sizeBytes > MAX_MESSAGE_BYTES) {
    throw invalidArgument(`${rows} rows are ${sizeBytes} bytes, more than ${MAX_MESSAGE_BYTES}`);
  }
  const request = ModelInferRequest.fromPartial({
    modelName: metadata.name,
    inputs: inputs.map(({ name, datatype, dims }) => ({ name, datatype, shape: dims.map(BigInt) })),
    rawInputContents: inputs.map((input) => new Uint8Array(input.sizeBytes)),
  });
  return ModelInferRequest.encode(request).finish();
}
