// The Open Inference Protocol's service as a Backend: free of any transport. ModelInfer goes its
// own way, on which nothing is allocated that needs not be; everything else is small and rare.
import type { Log } from '../../common/log.ts';
import { Code, StatusError } from '../../common/status.ts';
import type { CallTracer } from '../../common/tracing/call-tracer.ts';
import {
  ModelConfigRequest,
  ModelConfigResponse,
  ModelMetadataRequest,
  ModelMetadataResponse,
  ModelReadyRequest,
  ModelReadyResponse,
  type ModelStatistics,
  ModelStatisticsRequest,
  ModelStatisticsResponse,
  RepositoryIndexRequest,
  RepositoryIndexResponse,
  RepositoryModelLoadRequest,
  RepositoryModelLoadResponse,
  RepositoryModelUnloadRequest,
  RepositoryModelUnloadResponse,
  ServerLiveRequest,
  ServerLiveResponse,
  ServerMetadataRequest,
  ServerMetadataResponse,
  ServerReadyRequest,
  ServerReadyResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import type { Backend } from '../../transport/backend.ts';
import {
  type Codec,
  codecOf,
  defineService,
  type Method,
  mergeBackends,
  unary,
} from '../../transport/service.ts';
import type { ModelTable } from '../model-table.ts';
import { ModelInfer } from './infer.ts';
import { modelConfig, modelMetadata, serverMetadata } from './metadata.ts';
import {
  type RepositoryControl,
  repositoryIndex,
  repositoryModelLoad,
  repositoryModelUnload,
} from './repository.ts';
import { modelStatistics, withOthers } from './statistics.ts';
import { ModelStreamInfer } from './stream-infer.ts';

export const SERVICE = 'inference.GRPCInferenceService';

/**
 * Requests other than ModelInfer are small; above it RESOURCE_EXHAUSTED, and nothing is decoded.
 */
export const MAX_CONTROL_REQUEST_BYTES = 1024 * 1024;

export interface InferenceServiceOptions {
  readonly table: ModelTable;
  readonly repository: RepositoryControl;
  /** Whether the node as a whole takes inference requests: started, and not draining. */
  readonly isReady: () => boolean;
  /** Of the software, for ServerMetadata. */
  readonly serverVersion: string;
  /** The clock that deadlines are on. */
  readonly nowMs: () => number;
  /** Undefined: no call is recorded. */
  readonly tracer?: CallTracer | undefined;
  /** What other threads that serve for this node counted. Undefined: there are none. */
  readonly otherStatistics: (() => Promise<readonly ModelStatistics[]>) | undefined;
}

/** A codec that decodes nothing above the limit, so that nothing is allocated for it. */
function small<T>(message: Parameters<typeof codecOf<T>>[0]): Codec<T> {
  const codec = codecOf(message);
  return {
    encode: codec.encode,
    decode(bytes) {
      if (bytes.length <= MAX_CONTROL_REQUEST_BYTES) return codec.decode(bytes);
      throw new StatusError(
        Code.RESOURCE_EXHAUSTED,
        `request of ${bytes.length} bytes is larger than the limit of ${MAX_CONTROL_REQUEST_BYTES}`,
      );
    },
  };
}

function pathOf(method: string): string {
  return `/${SERVICE}/${method}`;
}

export const MODEL_INFER = pathOf('ModelInfer');

function serverMethods(options: InferenceServiceOptions): readonly Method[] {
  const { isReady, serverVersion } = options;
  return [
    unary(pathOf('ServerLive'), small(ServerLiveRequest), small(ServerLiveResponse), () => ({
      live: true,
    })),
    unary(pathOf('ServerReady'), small(ServerReadyRequest), small(ServerReadyResponse), () => ({
      ready: isReady(),
    })),
    unary(
      pathOf('ServerMetadata'),
      small(ServerMetadataRequest),
      small(ServerMetadataResponse),
      () => serverMetadata(serverVersion),
    ),
  ];
}

function modelMethods({ table, otherStatistics }: InferenceServiceOptions): readonly Method[] {
  return [
    unary(
      pathOf('ModelReady'),
      small(ModelReadyRequest),
      small(ModelReadyResponse),
      ({ name, version }) => ({ ready: table.isReady(name, version) }),
    ),
    unary(
      pathOf('ModelMetadata'),
      small(ModelMetadataRequest),
      small(ModelMetadataResponse),
      ({ name, version }) => modelMetadata(table, name, version),
    ),
    unary(
      pathOf('ModelConfig'),
      small(ModelConfigRequest),
      small(ModelConfigResponse),
      ({ name, version }) => modelConfig(table, name, version),
    ),
    unary(
      pathOf('ModelStatistics'),
      small(ModelStatisticsRequest),
      small(ModelStatisticsResponse),
      async ({ name, version }) => {
        const own = modelStatistics(table, name, version);
        return otherStatistics === undefined ? own : withOthers(own, await otherStatistics());
      },
    ),
  ];
}

function repositoryMethods({ table, repository }: InferenceServiceOptions): readonly Method[] {
  return [
    unary(
      pathOf('RepositoryIndex'),
      small(RepositoryIndexRequest),
      small(RepositoryIndexResponse),
      (request) => repositoryIndex(table, repository, request),
    ),
    unary(
      pathOf('RepositoryModelLoad'),
      small(RepositoryModelLoadRequest),
      small(RepositoryModelLoadResponse),
      async (request) => {
        await repositoryModelLoad(repository, request);
        return {};
      },
    ),
    unary(
      pathOf('RepositoryModelUnload'),
      small(RepositoryModelUnloadRequest),
      small(RepositoryModelUnloadResponse),
      async (request) => {
        await repositoryModelUnload(repository, request);
        return {};
      },
    ),
  ];
}

export interface InferenceService {
  readonly backend: Backend;
  /** Streams end with UNAVAILABLE once what they have taken is answered; no new ones begin. */
  endStreams(): void;
}

export function createInferenceService(
  options: InferenceServiceOptions,
  log: Log,
): InferenceService {
  const { table, nowMs, tracer } = options;
  const infer = new ModelInfer(table, nowMs, tracer);
  const streams = new ModelStreamInfer(infer, nowMs);
  // The hot path deserves to be by itself: no promise, no decoded message.
  const hot: Backend = {
    methods: new Map([
      [MODEL_INFER, 'unary'],
      [pathOf('ModelStreamInfer'), 'bidi_stream'],
    ]),
    unary: (call) => infer.unary(call),
    stream: (call) => streams.stream(call),
  };
  const rare = defineService(
    [...serverMethods(options), ...modelMethods(options), ...repositoryMethods(options)],
    log,
  );
  return { backend: mergeBackends([hot, rare]), endStreams: () => streams.retire() };
}
