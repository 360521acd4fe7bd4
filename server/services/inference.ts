// The Open Inference Protocol's service as a Backend: free of any transport. ModelInfer goes its own
// way, on which nothing is allocated that needs not be; everything else is small and rare.
import { Code, invalidArgument, StatusError, statusOf } from '../../common/status.ts';
import {
  ModelConfigRequest,
  ModelConfigResponse,
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
  RepositoryModelUnloadRequest,
  RepositoryModelUnloadResponse,
  ServerLiveRequest,
  ServerLiveResponse,
  ServerMetadataRequest,
  ServerMetadataResponse,
  ServerReadyRequest,
  ServerReadyResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import type { Backend, MethodKind, StreamCall, UnaryCall } from '../../transport/backend.ts';
import type { ModelTable } from '../model-table.ts';
import { modelInfer } from './infer.ts';
import { modelConfig, modelMetadata, serverMetadata } from './metadata.ts';
import {
  type RepositoryControl,
  repositoryIndex,
  repositoryModelLoad,
  repositoryModelUnload,
} from './repository.ts';
import { modelStatistics } from './statistics.ts';

export const SERVICE = 'inference.GRPCInferenceService';

/** Requests other than ModelInfer are small; above it RESOURCE_EXHAUSTED, and nothing is decoded. */
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
}

interface Decoder<T> {
  decode(bytes: Uint8Array): T;
}

interface Encoder<T> {
  encode(message: T): { finish(): Uint8Array };
}

/** Takes the request's bytes, gives the answer's; throws or rejects with a StatusError. */
type Method = (request: Uint8Array) => Uint8Array | Promise<Uint8Array>;

function method<Request, Response>(
  request: Decoder<Request>,
  response: Encoder<Response>,
  handle: (request: Request) => Response | Promise<Response>,
): Method {
  const encode = (answer: Response): Uint8Array => response.encode(answer).finish();
  return (bytes) => {
    const answer = handle(decoded(request, bytes));
    return answer instanceof Promise ? answer.then(encode) : encode(answer);
  };
}

function decoded<T>(decoder: Decoder<T>, bytes: Uint8Array): T {
  if (bytes.length > MAX_CONTROL_REQUEST_BYTES) {
    throw new StatusError(
      Code.RESOURCE_EXHAUSTED,
      `request of ${bytes.length} bytes is larger than the limit of ${MAX_CONTROL_REQUEST_BYTES}`,
    );
  }
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw invalidArgument(`request is not a valid protobuf message: ${statusOf(cause).message}`);
  }
}

function methodsOf(options: InferenceServiceOptions): ReadonlyMap<string, Method> {
  const { table, repository, isReady, serverVersion } = options;
  return new Map<string, Method>([
    ['ServerLive', method(ServerLiveRequest, ServerLiveResponse, () => ({ live: true }))],
    ['ServerReady', method(ServerReadyRequest, ServerReadyResponse, () => ({ ready: isReady() }))],
    [
      'ModelReady',
      method(ModelReadyRequest, ModelReadyResponse, ({ name, version }) => ({
        ready: table.isReady(name, version),
      })),
    ],
    [
      'ServerMetadata',
      method(ServerMetadataRequest, ServerMetadataResponse, () => serverMetadata(serverVersion)),
    ],
    [
      'ModelMetadata',
      method(ModelMetadataRequest, ModelMetadataResponse, ({ name, version }) =>
        modelMetadata(table, name, version),
      ),
    ],
    [
      'ModelConfig',
      method(ModelConfigRequest, ModelConfigResponse, ({ name, version }) =>
        modelConfig(table, name, version),
      ),
    ],
    [
      'ModelStatistics',
      method(ModelStatisticsRequest, ModelStatisticsResponse, ({ name, version }) =>
        modelStatistics(table, name, version),
      ),
    ],
    [
      'RepositoryIndex',
      method(RepositoryIndexRequest, RepositoryIndexResponse, (request) =>
        repositoryIndex(table, request),
      ),
    ],
    [
      'RepositoryModelLoad',
      method(RepositoryModelLoadRequest, RepositoryModelLoadResponse, async (request) => {
        await repositoryModelLoad(repository, request);
        return {};
      }),
    ],
    [
      'RepositoryModelUnload',
      method(RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, async (request) => {
        await repositoryModelUnload(repository, request);
        return {};
      }),
    ],
  ]);
}

function pathOf(name: string): string {
  return `/${SERVICE}/${name}`;
}

export function createInferenceBackend(options: InferenceServiceOptions): Backend {
  const { table, nowMs } = options;
  const inferPath = pathOf('ModelInfer');
  const byPath = new Map(
    [...methodsOf(options)].map(([name, handle]): [string, Method] => [pathOf(name), handle]),
  );
  const paths = [inferPath, ...byPath.keys()];
  const methods = new Map(paths.map((path) => [path, 'unary' as MethodKind]));
  return {
    methods,
    unary(call) {
      if (call.path === inferPath) modelInfer(call, table, nowMs);
      else runMethod(byPath.get(call.path), call);
    },
    stream: (call) => call.fail(unimplemented(call)),
  };
}

function runMethod(handle: Method | undefined, call: UnaryCall): void {
  if (handle === undefined) {
    call.fail(unimplemented(call));
    return;
  }
  const fail = (error: unknown): void => call.fail(statusOf(error));
  try {
    const answer = handle(call.request);
    if (answer instanceof Promise) answer.then((bytes) => call.succeed(bytes), fail);
    else call.succeed(answer);
  } catch (error) {
    fail(error);
  }
}

function unimplemented(call: UnaryCall | StreamCall): StatusError {
  return new StatusError(Code.UNIMPLEMENTED, `method ${call.path} is not implemented here`);
}
