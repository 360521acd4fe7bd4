// What the router answers itself: how the cluster is, which models it has, and changes of the
// catalog that clients know as loading and unloading.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { parseVersion, shownName } from '../common/names.ts';
import { Code, StatusError, statusOf, unavailable } from '../common/status.ts';
import {
  GRPCInferenceServiceDefinition,
  type ModelStatistics,
  ModelStatisticsRequest,
  ModelStatisticsResponse,
} from '../proto/gen/inference/grpc_service.ts';
import { sumStatistics } from '../proto/oip/sum-statistics.ts';
import { UNLOADED } from '../registry/registry.ts';
import type { Backend } from '../transport/backend.ts';
import { invokeUnary } from '../transport/invoke.ts';
import { codecOf, defineService, type HandlerContext, unary } from '../transport/service.ts';
import { type RouteTable, statisticsOfUnknown } from './route-table.ts';
import type { Upstreams } from './upstreams.ts';

/** Loading and unloading are changes of the catalog, which the control role makes. */
export interface ControlHooks {
  /** Resolves when the catalog says that the model is to be loaded. @throws NOT_FOUND: unknown */
  loadModel(model: string): Promise<void>;
  /** Resolves when the catalog says that the model is not to be loaded; at once when unknown. */
  unloadModel(model: string): Promise<void>;
}

export interface ClusterServiceOptions {
  readonly table: RouteTable;
  readonly upstreams: Upstreams;
  readonly control: ControlHooks | undefined;
  readonly version: string;
  readonly log: Log;
  isReady(): boolean;
  /** The one of calls' deadlines. */
  readonly clock: Clock;
  /** Resolves at the next change of the table. */
  nextChange(signal: AbortSignal): Promise<void>;
  /** Resolves when the routers of other threads know what this one knows. */
  othersRefreshed(): Promise<void>;
}

/** The plan that follows an unload comes soon; the call is answered without it after so long. */
export const UNLOAD_WAIT_MS = 2_000;

const SERVICE = `/${GRPCInferenceServiceDefinition.fullName}`;
const METHODS = GRPCInferenceServiceDefinition.methods;
const MODEL_STATISTICS = `${SERVICE}/${METHODS.modelStatistics.name}`;

/** The extensions of the protocol that the cluster answers as a whole. */
const EXTENSIONS = [
  'classification',
  'model_configuration',
  'model_repository',
  'parameters',
  'statistics',
];

/** The path and codecs of a method, as unary() takes them. */
function signatureOf<Request, Response>(method: {
  name: string;
  requestType: Parameters<typeof codecOf<Request>>[0];
  responseType: Parameters<typeof codecOf<Response>>[0];
}) {
  return [
    `${SERVICE}/${method.name}`,
    codecOf(method.requestType),
    codecOf(method.responseType),
  ] as const;
}

export function clusterService(options: ClusterServiceOptions): Backend {
  const { table } = options;
  return defineService(
    [
      unary(...signatureOf(METHODS.serverLive), () => ({ live: true })),
      unary(...signatureOf(METHODS.serverReady), () => ({ ready: options.isReady() })),
      unary(...signatureOf(METHODS.serverMetadata), () => ({
        name: 'torus',
        version: options.version,
        extensions: [...EXTENSIONS],
      })),
      unary(...signatureOf(METHODS.modelReady), ({ name, version }) => ({
        ready: table.isReady(name, parseVersion(version)),
      })),
      unary(...signatureOf(METHODS.repositoryIndex), ({ repositoryName, ready }) => {
        refuseRepositoryName(repositoryName);
        const shown = table.index().filter(({ state }) => !ready || state === 'READY');
        return {
          models: shown.map(({ model, version, state, reason }) => ({
            name: model,
            version: String(version),
            state,
            reason,
          })),
        };
      }),
      unary(...signatureOf(METHODS.modelStatistics), (request, context) =>
        statistics(options, request, context),
      ),
      unary(...signatureOf(METHODS.repositoryModelLoad), async (request, context) => {
        refuseRepositoryName(request.repositoryName);
        if (request.parameters.size > 0) throw unsupported('load parameters');
        await load(options, request.modelName, context);
        return {};
      }),
      unary(...signatureOf(METHODS.repositoryModelUnload), async (request, context) => {
        refuseRepositoryName(request.repositoryName);
        await unload(options, request.modelName, context);
        return {};
      }),
    ],
    options.log,
  );
}

function refuseRepositoryName(name: string): void {
  if (name !== '') throw unsupported("'repository_name' specification");
}

function unsupported(what: string): StatusError {
  return new StatusError(Code.UNIMPLEMENTED, `${what} is not supported`);
}

function controlOf({ control }: ClusterServiceOptions): ControlHooks {
  if (control !== undefined) return control;
  throw unavailable(
    'models are loaded and unloaded by the control role, which this router does not know: ' +
      'start the router with the address of control, or use the torus command',
  );
}

/** Asks for the model, then waits until it serves or can't be loaded. */
async function load(
  options: ClusterServiceOptions,
  model: string,
  { signal }: HandlerContext,
): Promise<void> {
  try {
    await controlOf(options).loadModel(model);
  } catch (thrown) {
    const error = statusOf(thrown);
    if (error.code !== Code.NOT_FOUND) throw error;
    const text = `failed to load '${model}', failed to poll from model repository`;
    throw new StatusError(Code.INTERNAL, text);
  }
  while (!signal.aborted) {
    const changed = options.nextChange(signal);
    if (options.table.isReady(model, undefined)) return;
    // UNLOADED: the plan that control makes of the request has not come yet.
    const failed = options.table
      .index(model)
      .find((entry) => entry.state === 'UNAVAILABLE' && entry.reason !== UNLOADED);
    if (failed !== undefined) {
      const { version, reason } = failed;
      const text = `version ${version} is at UNAVAILABLE state: ${reason};`;
      throw new StatusError(Code.INVALID_ARGUMENT, `load failed for model '${model}': ${text}`);
    }
    await changed;
  }
}

/** Waits until the plan is here too, so that whoever asks next is told of it. */
async function unload(
  options: ClusterServiceOptions,
  model: string,
  { signal }: HandlerContext,
): Promise<void> {
  await controlOf(options).unloadModel(model);
  const late = new AbortController();
  const stopTimer = options.clock.after(UNLOAD_WAIT_MS, () => late.abort());
  const ended = AbortSignal.any([signal, late.signal]);
  const isReady = (): boolean => options.table.index(model).some(({ state }) => state === 'READY');
  while (!ended.aborted) {
    const changed = options.nextChange(ended);
    if (!isReady()) break;
    await changed;
  }
  stopTimer();
  await options.othersRefreshed();
}

/**
 * Why there is nothing to tell of a model. That it has no READY copy right now, between two, is no
 * mistake of the caller.
 */
function noStatistics(table: RouteTable, model: string, version: number | undefined): StatusError {
  const route = table.resolve(model, version, () => 0);
  if (route.kind !== 'refused') {
    return unavailable(`model '${shownName(model)}' has no ready copy at the moment: ask again`);
  }
  return route.error.code === Code.NOT_FOUND ? statisticsOfUnknown(model) : route.error;
}

/** Asks every node that has a copy, and sums what they say. */
async function statistics(
  options: ClusterServiceOptions,
  request: ModelStatisticsRequest,
  context: HandlerContext,
): Promise<ModelStatisticsResponse> {
  const { table, upstreams } = options;
  const version = parseVersion(request.version);
  const model = request.name === '' ? undefined : request.name;
  const nodes = [...table.readyNodes(model, version)];
  const nowMs = options.clock.nowMs();
  const asked = upstreams.reachable(nodes, nowMs);
  const bytes = ModelStatisticsRequest.encode(request).finish();
  const answers = await Promise.allSettled(
    asked.map(async ({ backend }) => {
      const timeoutMs = context.deadlineMs - nowMs;
      const invoked = { timeoutMs, metadata: context.metadata, signal: context.signal };
      const { response } = await invokeUnary(backend, MODEL_STATISTICS, bytes, invoked);
      return ModelStatisticsResponse.decode(response).modelStats;
    }),
  );
  const told: ModelStatistics[] = [];
  for (const answer of answers) if (answer.status === 'fulfilled') told.push(...answer.value);
  const failed = answers.find((answer) => answer.status === 'rejected');
  if (answers.some((answer) => answer.status === 'fulfilled')) {
    return { modelStats: sumStatistics(told) };
  }
  const error = failed === undefined ? undefined : statusOf(failed.reason);
  // A node that has let go of the model meanwhile answers as for an unknown one.
  const isGone = error === undefined || error.code === Code.INVALID_ARGUMENT;
  if (model !== undefined && isGone) throw noStatistics(table, model, version);
  if (error !== undefined) throw error;
  return { modelStats: sumStatistics(told) };
}
