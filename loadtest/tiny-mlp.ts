// A small real model for load tests: a multi-layer perceptron 16-32-4 with fixed weights, so that
// every run, and every rival, computes the same.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dense, floats, GraphBuilder, softmax } from '../model/onnx/graph.ts';
import { ModelInferRequest } from '../proto/gen/inference/grpc_service.ts';

export const TINY_MLP = 'tiny-mlp';
const INPUTS = 16;
const HIDDEN = 32;
const OUTPUTS = 4;

/** Numbers in [-0.5, 0.5) that look random and are always the same. */
function weights(count: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}

export function tinyMlpOnnx(): Uint8Array {
  const graph = new GraphBuilder(TINY_MLP);
  const x = graph.input('x', 'FP32', ['batch', INPUTS]);
  const first = floats(weights(INPUTS * HIDDEN, 1), [INPUTS, HIDDEN]);
  const hidden = graph.node('Relu', [dense(graph, x, first, floats(weights(HIDDEN, 2)))]);
  const second = floats(weights(HIDDEN * OUTPUTS, 3), [HIDDEN, OUTPUTS]);
  softmax(graph, dense(graph, hidden, second, floats(weights(OUTPUTS, 4))), 'y');
  graph.output('y', 'FP32', ['batch', OUTPUTS]);
  return graph.write();
}

/** A model repository in Triton's layout with this one model, dynamic batching up to 64. */
export async function writeTinyRepository(folder: string): Promise<void> {
  const version = join(folder, TINY_MLP, '1');
  await mkdir(version, { recursive: true });
  await writeFile(join(version, 'model.onnx'), tinyMlpOnnx());
}

/** A ModelInfer request of one row. */
export function tinyMlpRequest(): Uint8Array {
  const row = Float32Array.from(weights(INPUTS, 5));
  const request = ModelInferRequest.fromPartial({
    modelName: TINY_MLP,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1n, BigInt(INPUTS)] }],
    rawInputContents: [new Uint8Array(row.buffer)],
  });
  return ModelInferRequest.encode(request).finish();
}
