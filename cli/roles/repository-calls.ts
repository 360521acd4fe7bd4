// RepositoryModelLoad and -Unload between a router and control: routers open no catalog, so they
// pass the wish on to control's admin listener, in the words of the inference protocol itself.
import type { Log } from '../../common/log.ts';
import {
  GRPCInferenceServiceDefinition,
  RepositoryModelLoadRequest,
  RepositoryModelLoadResponse,
  RepositoryModelUnloadRequest,
  RepositoryModelUnloadResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import type { ControlHooks } from '../../router/cluster-service.ts';
import type { HttpPeer } from '../../stores/blobs/http-call.ts';
import type { Backend, MethodKind } from '../../transport/backend.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import { codecOf, defineService, unary } from '../../transport/service.ts';

const SERVICE = `/${GRPCInferenceServiceDefinition.fullName}`;
const LOAD = `${SERVICE}/RepositoryModelLoad`;
const UNLOAD = `${SERVICE}/RepositoryModelUnload`;
const METHODS: ReadonlyMap<string, MethodKind> = new Map([
  [LOAD, 'unary'],
  [UNLOAD, 'unary'],
]);
/** Changes of a document: longer, and control or its catalog are not there. */
const TIMEOUT_MS = 10_000;

/** What control answers; the rest of the service is the router's. */
export function repositoryCalls(hooks: ControlHooks, log: Log): Backend {
  return defineService(
    [
      unary(
        LOAD,
        codecOf(RepositoryModelLoadRequest),
        codecOf(RepositoryModelLoadResponse),
        async ({ modelName }) => {
          await hooks.loadModel(modelName);
          return {};
        },
      ),
      unary(
        UNLOAD,
        codecOf(RepositoryModelUnloadRequest),
        codecOf(RepositoryModelUnloadResponse),
        async ({ modelName }) => {
          await hooks.unloadModel(modelName);
          return {};
        },
      ),
    ],
    log,
  );
}

export interface RepositoryConnection {
  readonly hooks: ControlHooks;
  close(): void;
}

/** @param address host:port of control's admin listener */
export function connectRepository(address: string, peer: HttpPeer = {}): RepositoryConnection {
  const link = connectGrpc({ address, methods: METHODS, ...peer });
  const call = async (path: string, request: Uint8Array): Promise<void> => {
    await invokeUnary(link, path, request, { timeoutMs: TIMEOUT_MS });
  };
  return {
    hooks: {
      loadModel: (modelName) =>
        call(
          LOAD,
          RepositoryModelLoadRequest.encode(
            RepositoryModelLoadRequest.fromPartial({ modelName }),
          ).finish(),
        ),
      unloadModel: (modelName) =>
        call(
          UNLOAD,
          RepositoryModelUnloadRequest.encode(
            RepositoryModelUnloadRequest.fromPartial({ modelName }),
          ).finish(),
        ),
    },
    close: () => link.close(),
  };
}
