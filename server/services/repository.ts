// RepositoryIndex, RepositoryModelLoad and RepositoryModelUnload. What loading means is the node's
// affair: a lone node acts on its repository, one in a cluster has its models from the leader.
import { shownName } from '../../common/names.ts';
import { Code, StatusError } from '../../common/status.ts';
import type {
  RepositoryIndexRequest,
  RepositoryIndexResponse,
  RepositoryModelLoadRequest,
  RepositoryModelUnloadRequest,
} from '../../proto/gen/inference/grpc_service.ts';
import type { ModelTable, VersionStatus } from '../model-table.ts';

type IndexState = 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE';
type ModelIndex = RepositoryIndexResponse['models'][number];

export interface RepositoryControl {
  /** What is there but not in the table: never loaded, unloaded, or broken. */
  others(): readonly ModelIndex[];
  /** Loads, or loads again after a change. Resolves when READY. @throws why it could not. */
  load(model: string): Promise<void>;
  /** Resolves when the unloading has begun; of an unknown model too. */
  unload(model: string): Promise<void>;
}

/** A node of a cluster: routers turn these calls into changes of the catalog. */
export const ASSIGNED: RepositoryControl = {
  others: () => [],
  load: (model) => Promise.reject(notHere('load', model)),
  unload: (model) => Promise.reject(notHere('unload', model)),
};

function notHere(verb: string, model: string): StatusError {
  return new StatusError(
    Code.FAILED_PRECONDITION,
    `this node does not ${verb} '${shownName(model)}' by itself: its models are assigned by ` +
      "the cluster's leader; call the cluster's own address",
  );
}

export function repositoryIndex(
  table: ModelTable,
  control: RepositoryControl,
  request: RepositoryIndexRequest,
): RepositoryIndexResponse {
  checkRepositoryName(request.repositoryName);
  const models = table
    .statuses()
    .filter(({ served }) => !request.ready || served !== undefined)
    .map((status) => ({
      name: status.model,
      version: String(status.version),
      state: indexState(status),
      reason: status.reason,
    }));
  return { models: request.ready ? models : [...models, ...control.others()] };
}

/** Triton knows four states; FAILED and QUARANTINED are UNAVAILABLE with their reason. */
export function indexState({ state, served }: VersionStatus): IndexState {
  if (served !== undefined) return 'READY';
  return state === 'LOADING' || state === 'UNLOADING' ? state : 'UNAVAILABLE';
}

function checkRepositoryName(repositoryName: string): void {
  if (repositoryName === '') return;
  throw new StatusError(Code.UNIMPLEMENTED, "'repository_name' specification is not supported");
}

export async function repositoryModelLoad(
  control: RepositoryControl,
  request: RepositoryModelLoadRequest,
): Promise<void> {
  checkRepositoryName(request.repositoryName);
  const [parameter] = request.parameters.keys();
  if (parameter !== undefined) {
    throw new StatusError(
      Code.UNIMPLEMENTED,
      `load parameter '${shownName(parameter)}' is not supported: put the model and its ` +
        'config.pbtxt into the repository',
    );
  }
  await control.load(request.modelName);
}

export async function repositoryModelUnload(
  control: RepositoryControl,
  request: RepositoryModelUnloadRequest,
): Promise<void> {
  checkRepositoryName(request.repositoryName);
  await control.unload(request.modelName);
}
