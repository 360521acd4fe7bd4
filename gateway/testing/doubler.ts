// A small model server for tests: it answers the Open Inference Protocol's calls for one model,
// which gives every input back, twice as large where it is a number.
import { Code, StatusError } from '../../common/status.ts';
import {
  ModelConfigRequest,
  ModelConfigResponse,
  ModelInferRequest,
  ModelInferResponse,
  ModelMetadataRequest,
  ModelMetadataResponse,
  ModelReadyRequest,
  ModelReadyResponse,
  ModelStatisticsRequest,
  ModelStatisticsResponse,
  RepositoryIndexRequest,
  RepositoryIndexResponse,
  RepositoryModelLoadRequest,
  RepositoryModelLoadResponse,
  ServerLiveRequest,
  ServerLiveResponse,
  ServerMetadataRequest,
  ServerMetadataResponse,
  ServerReadyRequest,
  ServerReadyResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import { DataType, ModelConfig } from '../../proto/gen/inference/model_config.ts';
import type { Backend } from '../../transport/backend.ts';
import {
  codecOf,
  defineService,
  type HandlerContext,
  type Method,
  unary,
} from '../../transport/service.ts';
import { nowhere } from './started.ts';

const SERVICE = '/inference.GRPCInferenceService';
export const DOUBLER = 'doubler';

function known(name: string): void {
  if (name === DOUBLER) return;
  throw new StatusError(Code.NOT_FOUND, `Request for unknown model: '${name}' is not found`);
}

function doubled(request: ModelInferRequest): ModelInferResponse {
  known(request.modelName);
  return {
    modelName: request.modelName,
    modelVersion: request.modelVersion || '1',
    id: request.id,
    parameters: new Map(),
    outputs: request.inputs.map(({ name, datatype, shape }) => ({
      name: `TWICE_${name}`,
      datatype,
      shape,
      parameters: new Map(),
      contents: undefined,
    })),
    rawOutputContents: request.inputs.map(({ datatype }, at) => {
      const raw = Buffer.from(request.rawInputContents[at] ?? []);
      if (datatype !== 'FP32') return raw;
      for (let place = 0; place < raw.length; place += 4) {
        raw.writeFloatLE(raw.readFloatLE(place) * 2, place);
      }
      return raw;
    }),
  };
}

const config = ModelConfig.fromPartial({
  name: DOUBLER,
  maxBatchSize: 8,
  input: [{ name: 'X', dataType: DataType.TYPE_FP32, dims: [-1n] }],
  versionPolicy: { policyChoice: { $case: 'latest', latest: { numVersions: 1 } } },
});

const spec = [{ name: 'X', datatype: 'FP32', shape: [-1n, 9007199254740993n] }];

function descriptions(): readonly Method[] {
  return [
    unary(
      `${SERVICE}/ServerMetadata`,
      codecOf(ServerMetadataRequest),
      codecOf(ServerMetadataResponse),
      () => ({ name: 'torus', version: '1', extensions: ['statistics'] }),
    ),
    unary(
      `${SERVICE}/ModelMetadata`,
      codecOf(ModelMetadataRequest),
      codecOf(ModelMetadataResponse),
      ({ name }) => {
        known(name);
        return { name, versions: ['1'], platform: 'test', inputs: spec, outputs: spec };
      },
    ),
    unary(
      `${SERVICE}/ModelConfig`,
      codecOf(ModelConfigRequest),
      codecOf(ModelConfigResponse),
      ({ name }) => {
        known(name);
        return { config };
      },
    ),
    unary(
      `${SERVICE}/ModelStatistics`,
      codecOf(ModelStatisticsRequest),
      codecOf(ModelStatisticsResponse),
      () =>
        ModelStatisticsResponse.fromPartial({
          modelStats: [{ name: DOUBLER, version: '1', inferenceCount: 2n ** 60n }],
        }),
    ),
  ];
}

/** Parameters that the repository calls came with, by verb. */
export type Loaded = Map<string, RepositoryModelLoadRequest>;

export interface DoublerOptions {
  readonly isReady?: boolean;
  readonly loaded?: Loaded;
  /** Runs before an inference is answered. */
  readonly onInfer?: (context: HandlerContext) => Promise<void>;
}

export function doubler(options: DoublerOptions = {}): Backend {
  const { isReady = true, loaded, onInfer } = options;
  const methods: Method[] = [
    unary(`${SERVICE}/ServerLive`, codecOf(ServerLiveRequest), codecOf(ServerLiveResponse), () => ({
      live: true,
    })),
    unary(
      `${SERVICE}/ServerReady`,
      codecOf(ServerReadyRequest),
      codecOf(ServerReadyResponse),
      () => ({ ready: isReady }),
    ),
    unary(
      `${SERVICE}/ModelReady`,
      codecOf(ModelReadyRequest),
      codecOf(ModelReadyResponse),
      ({ name }) => ({ ready: isReady && name === DOUBLER }),
    ),
    unary(
      `${SERVICE}/RepositoryIndex`,
      codecOf(RepositoryIndexRequest),
      codecOf(RepositoryIndexResponse),
      ({ ready }) => ({
        models: [
          { name: DOUBLER, version: '1', state: 'READY', reason: '' },
          ...(ready ? [] : [{ name: 'other', version: '', state: '', reason: '' }]),
        ],
      }),
    ),
    unary(
      `${SERVICE}/RepositoryModelLoad`,
      codecOf(RepositoryModelLoadRequest),
      codecOf(RepositoryModelLoadResponse),
      (request) => {
        loaded?.set(request.modelName, request);
        return {};
      },
    ),
    unary(
      `${SERVICE}/ModelInfer`,
      codecOf(ModelInferRequest),
      codecOf(ModelInferResponse),
      async (request, context) => {
        await onInfer?.(context);
        return doubled(request);
      },
    ),
    ...descriptions(),
  ];
  return defineService(methods, nowhere);
}
