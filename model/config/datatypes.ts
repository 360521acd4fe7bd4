// The datatypes of ModelConfig (TYPE_FP32) beside those of the Open Inference Protocol (FP32): the
// same but for their prefix and for strings, which are BYTES on the wire.
import { DATATYPES, type Datatype } from '../../common/tensor.ts';
import { DataType } from '../../proto/gen/inference/model_config.ts';

const BY_DATATYPE: Readonly<Record<Datatype, DataType>> = {
  BOOL: DataType.TYPE_BOOL,
  UINT8: DataType.TYPE_UINT8,
  UINT16: DataType.TYPE_UINT16,
  UINT32: DataType.TYPE_UINT32,
  UINT64: DataType.TYPE_UINT64,
  INT8: DataType.TYPE_INT8,
  INT16: DataType.TYPE_INT16,
  INT32: DataType.TYPE_INT32,
  INT64: DataType.TYPE_INT64,
  FP16: DataType.TYPE_FP16,
  FP32: DataType.TYPE_FP32,
  FP64: DataType.TYPE_FP64,
  BYTES: DataType.TYPE_STRING,
  BF16: DataType.TYPE_BF16,
};

const BY_DATA_TYPE = new Map(DATATYPES.map((datatype) => [BY_DATATYPE[datatype], datatype]));

export function dataTypeOf(datatype: Datatype): DataType {
  return BY_DATATYPE[datatype];
}

/** Undefined for TYPE_INVALID, which is also what a config that states none has. */
export function datatypeOfConfig(dataType: DataType): Datatype | undefined {
  return BY_DATA_TYPE.get(dataType);
}
