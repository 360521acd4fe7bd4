// TensorFlow's datatypes and ours, and the typed field of a TensorProto that carries each.
// Numbers: proto/tensorflow/core/framework/types.proto and tensor.proto.
import type { Datatype } from '../../common/tensor.ts';

/** DataType's numbers. Kinds that no tensor of ours has (complex, quantised, ...) are not here. */
const NUMBERS: Record<Datatype, number> = {
  FP32: 1,
  FP64: 2,
  INT32: 3,
  UINT8: 4,
  INT16: 5,
  INT8: 6,
  BYTES: 7,
  INT64: 9,
  BOOL: 10,
  BF16: 14,
  UINT16: 17,
  FP16: 19,
  UINT32: 22,
  UINT64: 23,
};

/** The field of TensorProto that holds typed values. */
const VALUE_FIELDS: Record<Datatype, number> = {
  FP32: 5,
  FP64: 6,
  INT32: 7,
  INT16: 7,
  INT8: 7,
  UINT8: 7,
  UINT16: 7,
  BYTES: 8,
  INT64: 10,
  BOOL: 11,
  FP16: 13,
  BF16: 13,
  UINT32: 16,
  UINT64: 17,
};

const DATATYPES = new Map(
  Object.entries(NUMBERS).map(([datatype, number]) => [number, datatype as Datatype]),
);

export function dataTypeOf(datatype: Datatype): number {
  return NUMBERS[datatype];
}

/** Undefined for what is no datatype of ours. */
export function datatypeOf(dataType: number): Datatype | undefined {
  return DATATYPES.get(dataType);
}

export function valueFieldOf(datatype: Datatype): number {
  return VALUE_FIELDS[datatype];
}

/** How the values of a datatype are written in that field. */
export type ValueForm = 'fixed' | 'varint' | 'bytes';

export function valueFormOf(datatype: Datatype): ValueForm {
  if (datatype === 'FP32' || datatype === 'FP64') return 'fixed';
  return datatype === 'BYTES' ? 'bytes' : 'varint';
}
