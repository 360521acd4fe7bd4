// ONNX element types (onnx.proto, TensorProto.DataType) and the Open Inference Protocol datatypes
// that they are served as. Types without a counterpart there can be inside a graph, never at its
// rim.
import type { Datatype } from '../../common/tensor.ts';

const ELEMENT_TYPES: readonly (readonly [number: number, name: string, datatype?: Datatype])[] = [
  [1, 'FLOAT', 'FP32'],
  [2, 'UINT8', 'UINT8'],
  [3, 'INT8', 'INT8'],
  [4, 'UINT16', 'UINT16'],
  [5, 'INT16', 'INT16'],
  [6, 'INT32', 'INT32'],
  [7, 'INT64', 'INT64'],
  [8, 'STRING', 'BYTES'],
  [9, 'BOOL', 'BOOL'],
  [10, 'FLOAT16', 'FP16'],
  [11, 'DOUBLE', 'FP64'],
  [12, 'UINT32', 'UINT32'],
  [13, 'UINT64', 'UINT64'],
  [14, 'COMPLEX64'],
  [15, 'COMPLEX128'],
  [16, 'BFLOAT16', 'BF16'],
  [17, 'FLOAT8E4M3FN'],
  [18, 'FLOAT8E4M3FNUZ'],
  [19, 'FLOAT8E5M2'],
  [20, 'FLOAT8E5M2FNUZ'],
  [21, 'UINT4'],
  [22, 'INT4'],
  [23, 'FLOAT4E2M1'],
];

const BY_NUMBER = new Map(ELEMENT_TYPES.map((row) => [row[0], row]));
const BY_DATATYPE = new Map(ELEMENT_TYPES.map(([number, , datatype]) => [datatype, number]));

/** 'FLOAT' for 1; the number as text for one that ONNX did not define when this was written. */
export function elementTypeName(elementType: number): string {
  return BY_NUMBER.get(elementType)?.[1] ?? `element type ${elementType}`;
}

/** Undefined: no datatype of the Open Inference Protocol. */
export function datatypeOf(elementType: number): Datatype | undefined {
  return BY_NUMBER.get(elementType)?.[2];
}

export function elementTypeOf(datatype: Datatype): number {
  // Every datatype stands in the table once; 0 is ONNX's UNDEFINED.
  return BY_DATATYPE.get(datatype) ?? 0;
}
