// Models whose answers tell by which model and version, and to which request, they were made: an
// answer of another version, another model or another call is seen as wrong, not only a failure.
import { floats, GraphBuilder } from '../../model/onnx/graph.ts';
import { ModelInferRequest, ModelInferResponse } from '../../proto/gen/inference/grpc_service.ts';

/** Whole numbers up to here are exact as FP32, sums included. */
const MAX_INPUT = 2 ** 22;

export interface CheckedModel {
  readonly name: string;
  /** Told in its answers; below 2^22. */
  readonly mark: number;
  /** Copies that it is to have, no fewer and no more. */
  readonly copies: number;
}

/**
 * y = (x + mark, x + version): FP32 [batch, 1] -> [batch, 2].
 * @param products of matrices of 256 x 256, some 0.5 ms each, that are made on the way
 */
export function checkedOnnx(
  { name, mark }: CheckedModel,
  version: number,
  products = 0,
): Uint8Array {
  const graph = new GraphBuilder(name);
  graph.input('x', 'FP32', ['batch', 1]);
  let x = 'x';
  if (products > 0) x = graph.node('Add', ['x', zeroOf(graph, products)]);
  graph.node('Add', [x, graph.constant(floats([mark, version], [1, 2]))], { output: 'y' });
  graph.output('y', 'FP32', ['batch', 2]);
  return graph.write();
}

/** Takes time, and is 0 whatever x is; the runtime can't know that. */
function zeroOf(graph: GraphBuilder, products: number): string {
  const side = 256;
  const zeros = graph.constant(floats(new Float32Array(side * side), [side, side]));
  const scalar = graph.node('ReduceSum', ['x'], { attributes: { keepdims: { int: 0 } } });
  const nothing = graph.node('Mul', [scalar, graph.constant(floats([0], [1]))]);
  let state = graph.node('Add', [zeros, nothing]);
  for (let at = 0; at < products; at += 1) state = graph.node('MatMul', [state, zeros]);
  return graph.node('ReduceSum', [state], { attributes: { keepdims: { int: 0 } } });
}

/** The request of call number `call`. @param version 0: whichever serves */
export function checkedRequest(model: CheckedModel, call: number, version = 0): Uint8Array {
  const request = ModelInferRequest.fromPartial({
    modelName: model.name,
    modelVersion: version === 0 ? '' : String(version),
    id: String(call),
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1n, 1n] }],
    rawInputContents: [new Uint8Array(Float32Array.of(inputOf(call)).buffer)],
  });
  return ModelInferRequest.encode(request).finish();
}

/** What is wrong with the answer to that call; undefined: nothing. */
export function wrongIn(
  model: CheckedModel,
  call: number,
  answer: Uint8Array,
  version = 0,
): string | undefined {
  const { modelName, modelVersion, id, rawOutputContents } = ModelInferResponse.decode(answer);
  if (modelName !== model.name) return `model ${modelName} answers for ${model.name}`;
  if (id !== String(call)) return `answer to call ${id} came to call ${call}`;
  if (version !== 0 && modelVersion !== String(version)) {
    return `version ${modelVersion} answers for version ${version}`;
  }
  const [raw] = rawOutputContents;
  if (raw?.length !== 8) return `${raw?.length ?? 'no'} bytes of output`;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const said = [view.getFloat32(0, true), view.getFloat32(4, true)];
  const due = [inputOf(call) + model.mark, inputOf(call) + Number(modelVersion)];
  if (said.every((value, at) => value === due[at])) return undefined;
  return `${model.name} version ${modelVersion} says ${said}, not ${due}`;
}

function inputOf(call: number): number {
  return call % MAX_INPUT;
}
