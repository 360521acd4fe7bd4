// Inputs of zeros (texts: empty) for a trial run, of shapes that a model ought to take.
import type { Tensor } from 'onnxruntime-node';
import { elementCount } from '../../common/tensor.ts';
import type { ConfiguredTensor } from '../../model/signature.ts';

/** What is needed of the package: it is loaded by who calls, after a workaround. */
export interface TensorMaker {
  readonly Tensor: new (type: never, data: never, dims: readonly number[]) => Tensor;
}

/** Sizes tried, one after the other, for dimensions that are open besides the batch. */
export const GUESSED_SIZES = [1, 8, 32, 64, 224] as const;
/** A guess that makes an input of more elements is not tried. */
export const MAX_TRIAL_ELEMENTS = 4 * 1024 * 1024;

type ZeroArray = new (length: number) => ArrayBufferView;

/** By ONNX Runtime's names. FP16 is 16-bit patterns: the binding does not know Float16Array. */
const ARRAYS: Readonly<Record<string, ZeroArray>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
};

/** The shape for the runtime: the model's own, open dimensions being `guess`, the first `rows`. */
export function trialShape(
  { spec, reshape }: ConfiguredTensor,
  maxBatchSize: number,
  rows: number,
  guess: number,
): number[] {
  const isBatched = maxBatchSize > 0;
  const dims = reshape ?? spec.shape.slice(isBatched ? 1 : 0);
  return [...(isBatched ? [rows] : []), ...dims.map((dim) => (dim < 0 ? guess : dim))];
}

/** Undefined: the runtime has a type that is not known here. */
export function zeros(
  maker: TensorMaker,
  ortType: string,
  shape: readonly number[],
): Tensor | undefined {
  const count = elementCount(shape);
  const array = Object.hasOwn(ARRAYS, ortType) ? ARRAYS[ortType] : undefined;
  if (ortType !== 'string' && array === undefined) return undefined;
  const data = array === undefined ? new Array<string>(count).fill('') : new array(count);
  return new maker.Tensor(ortType as never, data as never, shape);
}
