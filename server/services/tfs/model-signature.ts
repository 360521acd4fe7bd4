// GetModelMetadata: a model's signature as TensorFlow Serving tells it.
import { invalidArgument } from '../../../common/status.ts';
import type { DataType } from '../../../proto/gen/tensorflow/core/framework/types.ts';
import type { TensorInfo } from '../../../proto/gen/tensorflow/core/protobuf/meta_graph.ts';
import {
  type GetModelMetadataResponse,
  SignatureDefMap,
} from '../../../proto/gen/tensorflow_serving/apis/get_model_metadata.ts';
import { dataTypeOf } from '../../../proto/tfs/data-types.ts';
import type { ServedSignature, ServedTensor } from '../../infer/signature.ts';
import { DEFAULT_SIGNATURE } from './predict.ts';

const SIGNATURE_DEF = 'signature_def';
const SIGNATURE_DEF_TYPE = 'type.googleapis.com/tensorflow.serving.SignatureDefMap';
const PREDICT_METHOD = 'tensorflow/serving/predict';

/** @throws INVALID_ARGUMENT for anything but ["signature_def"] */
export function checkMetadataFields(fields: readonly string[]): void {
  if (fields.length === 0) {
    throw invalidArgument('GetModelMetadataRequest must specify at least one metadata_field');
  }
  const other = fields.find((field) => field !== SIGNATURE_DEF);
  if (other !== undefined) {
    throw invalidArgument(`Metadata field ${other.slice(0, 128)} is not supported`);
  }
}

export function modelMetadataOf(signature: ServedSignature): GetModelMetadataResponse {
  const { model, version, inputs, outputs } = signature;
  const signatureDef = new Map([
    [
      DEFAULT_SIGNATURE,
      {
        inputs: tensorInfos(inputs),
        outputs: tensorInfos(outputs),
        methodName: PREDICT_METHOD,
        defaults: new Map(),
      },
    ],
  ]);
  const value = SignatureDefMap.encode({ signatureDef }).finish();
  return {
    modelSpec: {
      name: model,
      versionChoice: { $case: 'version', version: BigInt(version) },
      signatureName: '',
    },
    metadata: new Map([[SIGNATURE_DEF, { typeUrl: SIGNATURE_DEF_TYPE, value }]]),
  };
}

function tensorInfos(tensors: readonly ServedTensor[]): Map<string, TensorInfo> {
  return new Map(
    tensors.map(({ spec }) => [
      spec.name,
      {
        encoding: { $case: 'name', name: `${spec.name}:0` },
        dtype: dataTypeOf(spec.datatype) as DataType,
        tensorShape: {
          dim: spec.shape.map((size) => ({ size: BigInt(size), name: '' })),
          unknownRank: false,
        },
      },
    ]),
  );
}
