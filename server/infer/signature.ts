// What a request for one model version is checked against: the tensors as clients see them.
import type { TensorSpec } from '../../common/tensor.ts';

export interface ServedTensor {
  /** Its place among the tensors of the loaded model. */
  readonly index: number;
  /** As clients see it: with the batch dimension (-1) first where maxBatchSize > 0; -1 is open. */
  readonly spec: TensorSpec;
  /**
   * The shape that the model itself has, where it differs (config's `reshape`), without the batch
   * dimension; its -1s take, in order, the sizes of the open dimensions of `spec`.
   */
  readonly reshape: readonly number[] | undefined;
  /** Texts of the classes of an output, by index, for the classification extension. */
  readonly labels: readonly string[];
}

export interface ServedSignature {
  readonly model: string;
  readonly version: number;
  /** 0: no batch dimension. */
  readonly maxBatchSize: number;
  readonly inputs: readonly ServedTensor[];
  readonly outputs: readonly ServedTensor[];
}

/**
 * `shape` as the other side sees it: `from` are the dims that it was checked against, `to` the dims
 * wanted, both without the batch dimension, which stays (`batched`) as it is.
 */
export function reshaped(
  shape: readonly number[],
  from: readonly number[],
  to: readonly number[],
  batched: boolean,
): readonly number[] {
  const lead = batched ? 1 : 0;
  const open: number[] = [];
  for (const [at, dim] of from.entries()) if (dim < 0) open.push(shape[at + lead] ?? 0);
  let next = 0;
  return [...shape.slice(0, lead), ...to.map((dim) => (dim < 0 ? (open[next++] ?? 0) : dim))];
}
