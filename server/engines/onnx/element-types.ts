// ONNX Runtime's names of element types, the datatypes that they are served as, and the arrays that
// view them in memory.
import type { Datatype } from '../../../common/tensor.ts';

export type OrtType =
  | 'float32'
  | 'uint8'
  | 'int8'
  | 'uint16'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'string'
  | 'bool'
  | 'float16'
  | 'float64'
  | 'uint32'
  | 'uint64';

const DATATYPES: Readonly<Record<OrtType, Datatype>> = {
  float32: 'FP32',
  uint8: 'UINT8',
  int8: 'INT8',
  uint16: 'UINT16',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  string: 'BYTES',
  bool: 'BOOL',
  float16: 'FP16',
  float64: 'FP64',
  uint32: 'UINT32',
  uint64: 'UINT64',
};

const ORT_TYPES = new Map(
  Object.entries(DATATYPES).map(([ortType, datatype]) => [datatype, ortType as OrtType]),
);

/** Undefined: no datatype that this engine can carry (4-bit integers, for one). */
export function datatypeOf(ortType: string): Datatype | undefined {
  return Object.hasOwn(DATATYPES, ortType) ? DATATYPES[ortType as OrtType] : undefined;
}

export function ortTypeOf(datatype: Datatype): OrtType | undefined {
  return ORT_TYPES.get(datatype);
}

export type OrtArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

interface ArrayConstructor {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, offset: number, length: number): OrtArray;
}

/** FP16 is viewed as 16-bit patterns: the package's binding does not know Float16Array. */
const ARRAYS: Readonly<Record<Exclude<OrtType, 'string'>, ArrayConstructor>> = {
  float32: Float32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  float16: Uint16Array,
  float64: Float64Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
};

/** A view, not a copy; `offset` is a multiple of the element's size. */
export function arrayOver(
  type: Exclude<OrtType, 'string'>,
  buffer: ArrayBufferLike,
  offset: number,
  lengthBytes: number,
): OrtArray {
  const array = ARRAYS[type];
  return new array(buffer, offset, lengthBytes / array.BYTES_PER_ELEMENT);
}
