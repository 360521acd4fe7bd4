// Tensors as the Open Inference Protocol speaks of them: a datatype name, a shape, and bytes,
// little endian and row major.

export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
  'BF16',
] as const;

export type Datatype = (typeof DATATYPES)[number];

const ELEMENT_BYTES: Record<Datatype, number> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
  BF16: 2,
};

export function isDatatype(text: string): text is Datatype {
  return Object.hasOwn(ELEMENT_BYTES, text);
}

/**
 * Bytes of one element; 0 for BYTES, whose elements carry a length of their own (u32, then
 * bytes).
 */
export function elementSizeBytes(datatype: Datatype): number {
  return ELEMENT_BYTES[datatype];
}

/** Product of the dimensions; 1 for a scalar (no dimension). Infinity-safe: may exceed 2^53. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const dim of shape) count *= dim;
  return count;
}

/** One input or output of a model. -1 is a dimension that a request chooses. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

/** A tensor with its data. `bytes` is usually a view into a request or a slab: do not keep it. */
export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}
