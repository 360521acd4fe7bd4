// A client of the Open Inference Protocol for tests: typed calls to a Backend in this process.
import type { Tensor } from '../../common/tensor.ts';
import {
  GRPCInferenceServiceDefinition,
  InferTensorContents,
  ModelInferRequest,
  type ModelInferResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import type { Backend } from '../../transport/backend.ts';
import { type InvokeOptions, invokeUnary } from '../../transport/invoke.ts';

type Methods = typeof GRPCInferenceServiceDefinition.methods;
type Decoded<T> = T extends { decode(bytes: Uint8Array): infer Message } ? Message : never;

/** Calls a method with some of its request's fields; the rest have their defaults. */
export async function call<Name extends keyof Methods>(
  backend: Backend,
  name: Name,
  request: Partial<Decoded<Methods[Name]['requestType']>>,
  options?: InvokeOptions,
): Promise<Decoded<Methods[Name]['responseType']>> {
  const method = GRPCInferenceServiceDefinition.methods[name];
  const requestType = method.requestType as {
    fromPartial(part: object): unknown;
    encode(message: unknown): { finish(): Uint8Array };
  };
  const responseType = method.responseType as unknown as {
    decode(bytes: Uint8Array): Decoded<Methods[Name]['responseType']>;
  };
  const path = `/inference.GRPCInferenceService/${method.name}`;
  const bytes = requestType.encode(requestType.fromPartial(request)).finish();
  return responseType.decode((await invokeUnary(backend, path, bytes, options)).response);
}

export interface InferOptions extends InvokeOptions {
  readonly version?: string;
  readonly id?: string;
  readonly parameters?: ModelInferRequest['parameters'];
  readonly outputs?: readonly { name: string; classification?: number }[];
}

function inferRequest(
  model: string,
  inputs: readonly Tensor[],
  options: InferOptions,
): ModelInferRequest {
  const outputs = (options.outputs ?? []).map(({ name, classification }) => ({
    name,
    parameters: new Map(
      classification === undefined
        ? []
        : [['classification', parameter(BigInt(classification))] as const],
    ),
  }));
  return {
    modelName: model,
    modelVersion: options.version ?? '',
    id: options.id ?? '',
    parameters: options.parameters ?? new Map(),
    inputs: inputs.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape: shape.map(BigInt),
      parameters: new Map(),
      contents: undefined,
    })),
    outputs,
    rawInputContents: inputs.map(({ bytes }) => bytes),
  };
}

/** ModelInfer with raw tensors. */
export async function infer(
  backend: Backend,
  model: string,
  inputs: readonly Tensor[],
  options: InferOptions = {},
): Promise<ModelInferResponse> {
  return await call(backend, 'modelInfer', inferRequest(model, inputs, options), options);
}

/** The bytes of such a request. */
export function inferBytes(model: string, inputs: readonly Tensor[]): Uint8Array {
  return ModelInferRequest.encode(inferRequest(model, inputs, {})).finish();
}

export function parameter(int64Param: bigint): {
  parameterChoice: { $case: 'int64Param'; int64Param: bigint };
} {
  return { parameterChoice: { $case: 'int64Param', int64Param } };
}

/** The FP32 values of an answer's output. */
export function floats(response: ModelInferResponse, index = 0): readonly number[] {
  const raw = response.rawOutputContents[index] ?? new Uint8Array(0);
  return Array.from(new Float32Array(Uint8Array.from(raw).buffer));
}

/** A request with typed contents, for one input. */
export async function inferTyped(
  backend: Backend,
  model: string,
  input: { name: string; datatype: string; shape: readonly number[] },
  contents: Partial<InferTensorContents>,
): Promise<ModelInferResponse> {
  return await call(backend, 'modelInfer', {
    modelName: model,
    inputs: [
      {
        ...input,
        shape: input.shape.map(BigInt),
        parameters: new Map(),
        contents: InferTensorContents.fromPartial(contents),
      },
    ],
  });
}
