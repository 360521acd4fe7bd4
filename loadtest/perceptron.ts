// Real models for load tests: multi-layer perceptrons of given widths with weights that look random
// and are always the same, so that every run, and every rival, computes the same. Made when
// needed, never stored. What they answer is computed here once more, to check answers by.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dense, floats, GraphBuilder, softmax } from '../model/onnx/graph.ts';
import { ModelInferRequest, ModelInferResponse } from '../proto/gen/inference/grpc_service.ts';

/** Answers are right when no probability is further off. */
const TOLERANCE = 1e-4;
const INPUT_SEED = 5;
const FLOAT_BYTES = 4;

export interface Perceptron {
  readonly name: string;
  /** Inputs, hidden layers (ReLU), outputs (softmax). */
  readonly widths: readonly number[];
}

/** Numbers around 0, the smaller the more there are in a row of them: sums stay about 1. */
function weights(count: number, seed: number, inputs = 1): Float32Array {
  let state = seed;
  const scale = Math.min(1, 4 / Math.sqrt(inputs));
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 32 - 0.5) * scale;
  });
}

interface Layer {
  readonly inputs: number;
  readonly outputs: number;
  readonly matrix: Float32Array;
  readonly bias: Float32Array;
}

function layersOf({ widths }: Perceptron): Layer[] {
  return widths.slice(1).map((outputs, at) => {
    const inputs = widths[at] ?? 0;
    const matrix = weights(inputs * outputs, 2 * at + 1, inputs);
    return { inputs, outputs, matrix, bias: weights(outputs, 2 * at + 2) };
  });
}

export function perceptronOnnx(model: Perceptron): Uint8Array {
  const graph = new GraphBuilder(model.name);
  const layers = layersOf(model);
  let value = graph.input('x', 'FP32', ['batch', model.widths[0] ?? 0]);
  layers.forEach(({ inputs, outputs, matrix, bias }, at) => {
    const tensor = floats([...matrix], [inputs, outputs]);
    const sum = dense(graph, value, tensor, floats([...bias]));
    if (at === layers.length - 1) softmax(graph, sum, 'y');
    else value = graph.node('Relu', [sum]);
  });
  graph.output('y', 'FP32', ['batch', model.widths.at(-1) ?? 0]);
  return graph.write();
}

/** A model repository in Triton's layout; a model without a config is batched dynamically. */
export async function writeRepository(folder: string, models: readonly Perceptron[]) {
  for (const model of models) {
    const version = join(folder, model.name, '1');
    await mkdir(version, { recursive: true });
    await writeFile(join(version, 'model.onnx'), perceptronOnnx(model));
  }
}

/** A ModelInfer request of one row. */
export function perceptronRequest(model: Perceptron): Uint8Array {
  const inputs = model.widths[0] ?? 0;
  const row = weights(inputs, INPUT_SEED);
  const request = ModelInferRequest.fromPartial({
    modelName: model.name,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1n, BigInt(inputs)] }],
    rawInputContents: [new Uint8Array(row.buffer)],
  });
  return ModelInferRequest.encode(request).finish();
}

/** What the model says to perceptronRequest(). */
export function perceptronAnswer(model: Perceptron): Float64Array {
  const layers = layersOf(model);
  let values = Float64Array.from(weights(model.widths[0] ?? 0, INPUT_SEED));
  layers.forEach(({ inputs, outputs, matrix, bias }, at) => {
    const isLast = at === layers.length - 1;
    values = Float64Array.from({ length: outputs }, (_, to) => {
      let sum = bias[to] ?? 0;
      for (let from = 0; from < inputs; from += 1) {
        sum += (values[from] ?? 0) * (matrix[from * outputs + to] ?? 0);
      }
      return isLast ? Math.exp(sum) : Math.max(0, sum);
    });
  });
  const total = values.reduce((sum, value) => sum + value, 0);
  return values.map((value) => value / total);
}

/** Whether a ModelInferResponse holds what the model says to perceptronRequest(). */
export function perceptronCheck(model: Perceptron): (answer: Uint8Array) => boolean {
  const expected = perceptronAnswer(model);
  return (answer) => {
    const [raw] = ModelInferResponse.decode(answer).rawOutputContents;
    if (raw?.length !== expected.length * FLOAT_BYTES) return false;
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    return expected.every(
      (value, at) => Math.abs(view.getFloat32(at * FLOAT_BYTES, true) - value) <= TOLERANCE,
    );
  };
}
