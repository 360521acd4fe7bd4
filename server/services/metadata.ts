// What a server says of itself and of its models: ServerMetadata, ModelMetadata, ModelConfig.
import type { TensorSpec } from '../../common/tensor.ts';
import type {
  ModelConfigResponse,
  ModelMetadataResponse,
  ModelMetadataResponse_TensorMetadata,
  ServerMetadataResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import type { ModelTable } from '../model-table.ts';

const SERVER_NAME = 'torus';

/** Extensions of the protocol that are answered here. */
const EXTENSIONS = [
  'classification',
  'model_configuration',
  'model_repository',
  'parameters',
  'statistics',
];

export function serverMetadata(version: string): ServerMetadataResponse {
  return { name: SERVER_NAME, version, extensions: EXTENSIONS };
}

/** @throws NOT_FOUND, INVALID_ARGUMENT, UNAVAILABLE as ModelTable.find */
export function modelMetadata(
  table: ModelTable,
  name: string,
  version: string,
): ModelMetadataResponse {
  const { signature, config } = table.find(name, version);
  return {
    name: signature.model,
    versions: table.readyVersions(name).map(String),
    platform: config.platform,
    inputs: signature.inputs.map(({ spec }) => tensorMetadata(spec)),
    outputs: signature.outputs.map(({ spec }) => tensorMetadata(spec)),
  };
}

function tensorMetadata(spec: TensorSpec): ModelMetadataResponse_TensorMetadata {
  return { name: spec.name, datatype: spec.datatype, shape: spec.shape.map(BigInt) };
}

/** @throws as modelMetadata */
export function modelConfig(table: ModelTable, name: string, version: string): ModelConfigResponse {
  return { config: table.find(name, version).config };
}
