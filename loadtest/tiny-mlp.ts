// The small model of load tests and of tests that need any model: 16 inputs, 4 outputs.
import {
  type Perceptron,
  perceptronOnnx,
  perceptronRequest,
  writeRepository,
} from './perceptron.ts';

export const TINY_MLP = 'tiny-mlp';
export const TINY: Perceptron = { name: TINY_MLP, widths: [16, 32, 4] };

export function tinyMlpOnnx(): Uint8Array {
  return perceptronOnnx(TINY);
}

/** A model repository in Triton's layout with this one model, dynamic batching up to 64. */
export function writeTinyRepository(folder: string): Promise<void> {
  return writeRepository(folder, [TINY]);
}

/** A ModelInfer request of one row. */
export function tinyMlpRequest(): Uint8Array {
  return perceptronRequest(TINY);
}
