// ModelInferRequests for tests of what reads them, written by the generated codec, and signatures
// to check them against.
import type { Datatype } from '../../common/tensor.ts';
import {
  type InferTensorContents,
  ModelInferRequest,
  type ModelInferRequest_InferInputTensor,
} from '../../proto/gen/inference/grpc_service.ts';
import type { ServedSignature } from '../../server/infer/signature.ts';

const EMPTY: InferTensorContents = {
  boolContents: [],
  intContents: [],
  int64Contents: [],
  uintContents: [],
  uint64Contents: [],
  fp32Contents: [],
  fp64Contents: [],
  bytesContents: [],
};

export function signatureOf(
  tensors: readonly { name: string; datatype: Datatype; shape: readonly number[] }[],
  maxBatchSize = 0,
): ServedSignature {
  const served = tensors.map((spec, index) => ({ index, spec, reshape: undefined, labels: [] }));
  return { model: 'M', version: 3, maxBatchSize, inputs: served, outputs: served };
}

export type Part = Partial<ModelInferRequest>;

export function encode(part: Part): Uint8Array {
  const whole: ModelInferRequest = {
    modelName: 'M',
    modelVersion: '',
    id: '',
    parameters: new Map(),
    inputs: [],
    outputs: [],
    rawInputContents: [],
    ...part,
  };
  return ModelInferRequest.encode(whole).finish();
}

export function input(
  name: string,
  datatype: string,
  shape: readonly number[],
  contents?: Partial<InferTensorContents>,
): ModelInferRequest_InferInputTensor {
  return {
    name,
    datatype,
    shape: shape.map(BigInt),
    parameters: new Map(),
    contents: contents === undefined ? undefined : { ...EMPTY, ...contents },
  };
}

export const float32 = (values: readonly number[]): Uint8Array =>
  new Uint8Array(new Float32Array(values).buffer);
