// The router: one address for the whole cluster. It follows the registry, knows where each model is
// READY, and passes calls on; what names no model it answers itself.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import { unavailable } from '../common/status.ts';
import type { CallTracer } from '../common/tracing/call-tracer.ts';
import { GRPCInferenceServiceDefinition } from '../proto/gen/inference/grpc_service.ts';
import { MODEL_SERVICE, PREDICTION_PATHS, PREDICTION_SERVICE } from '../proto/tfs/services.ts';
import type { Registry } from '../registry/registry.ts';
import type { Backend, MethodKind } from '../transport/backend.ts';
import { mergeBackends } from '../transport/service.ts';
import { readDescriptors } from '../transport/services/descriptors.ts';
import { Health, healthService } from '../transport/services/health.ts';
import { withReflection } from '../transport/services/reflection.ts';
import { type ControlHooks, clusterService } from './cluster-service.ts';
import { type Forward, Forwarder, MODEL_INFER, MODEL_STREAM_INFER } from './forward.ts';
import { type RouterMetrics, routerMetrics } from './metrics.ts';
import { PassOn } from './pass-on.ts';
import { HEALTH_CHECK } from './probes.ts';
import { Readiness } from './readiness.ts';
import type { RouteFile } from './route-file.ts';
import { RouteTable } from './route-table.ts';
import { servingService } from './serving-service.ts';
import { SlowCopies } from './slow-copies.ts';
import { forwardStream } from './stream-forward.ts';
import { startTableSync } from './table-sync.ts';
import { forwardUnary } from './unary-forward.ts';
import { type NodeConnection, Upstreams } from './upstreams.ts';
import { WAITING_LIMITS, type WaitingLimits, WaitingRoom } from './waiting.ts';
import { watchHealth } from './watch-health.ts';

const SERVICE = GRPCInferenceServiceDefinition.fullName;

/** The methods that a node answers for a model it has: what connections to nodes must know. */
export const NODE_METHODS: ReadonlyMap<string, MethodKind> = new Map([
  [MODEL_INFER, 'unary'],
  [MODEL_STREAM_INFER, 'bidi_stream'],
  [`/${SERVICE}/ModelMetadata`, 'unary'],
  [`/${SERVICE}/ModelConfig`, 'unary'],
  [`/${SERVICE}/ModelStatistics`, 'unary'],
  ...PREDICTION_PATHS.map((path) => [path, 'unary'] as const),
  [HEALTH_CHECK, 'unary'],
]);

const NOT_FORWARDED: ReadonlySet<string> = new Set([`/${SERVICE}/ModelStatistics`, HEALTH_CHECK]);
/** Those that go to one node; statistics are asked of all, and the health of each is its own. */
const FORWARDED: ReadonlyMap<string, MethodKind> = new Map(
  [...NODE_METHODS].filter(([path]) => !NOT_FORWARDED.has(path)),
);

export interface RouterOptions {
  readonly registry: Registry;
  /** Opens a connection to a node that answers NODE_METHODS; the router closes it. */
  connect(address: string): NodeConnection;
  /** Nodes of this process, by id: called without a network hop. */
  readonly localBackends?: ReadonlyMap<string, Backend>;
  /** The clock that calls' deadlines are on. */
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Absent: loading and unloading are UNAVAILABLE. */
  readonly control?: ControlHooks;
  readonly waitingLimits?: WaitingLimits;
  /** Routes of an earlier run, which it begins with, and where it keeps its own. */
  readonly routes?: RouteFile;
  /** Of this program, for ServerMetadata. */
  readonly version: string;
  /**
   * The whole of another router of this process, on another thread, that this one is to look the
   * same as: it answers all but calls for models that are READY here as well. Undefined: this one
   * stands for itself.
   */
  readonly lead?: Backend;
  /** Other threads' routers have read what this one knows: see Router.refresh. Default: none. */
  readonly othersRefreshed?: () => Promise<void>;
  /** Undefined: no call is recorded. */
  readonly tracer?: CallTracer | undefined;
}

export interface Router {
  readonly backend: Backend;
  /**
   * For the listener, beside the backend: passes calls on unread. Undefined where there are nodes
   * of this process: theirs are called with the message itself, without a connection between.
   */
  readonly raw: PassOn | undefined;
  /** What it is not ready for yet; empty: ready. */
  waitingFor(): readonly string[];
  /** No more ready (health says so); calls go on. The first step of a drain. */
  retire(): void;
  /** Reads the registry anew: knows from then on what others have read there before. */
  refresh(): Promise<void>;
  /** Calls that wait end with UNAVAILABLE, connections close. */
  stop(): void;
}

/** What a router decides with. */
function coresOf(options: RouterOptions, synced: { atMs: number }) {
  const { clock, random, log, lead, tracer } = options;
  const table = new RouteTable();
  const upstreams = new Upstreams({
    connect: options.connect,
    localBackends: options.localBackends ?? new Map(),
    random,
    onEjected(ejected) {
      metrics.ejected(ejected.reason);
      log.warn(ejected, 'the copy gets no calls for a while');
    },
  });
  const slowCopies = new SlowCopies();
  const room = new WaitingRoom<Forward>(options.waitingLimits ?? WAITING_LIMITS);
  const metrics = routerMetrics(options.metrics, {
    waitingCalls: () => room.calls,
    waitingBytes: () => room.bytes,
    knownNodes: () => upstreams.size,
    ejectedCopies: () => upstreams.ejected(clock.nowMs()),
    silentNodes: () => [...upstreams.all()].filter(({ isSilent }) => isSilent).length,
    registryStalenessMs: () => clock.nowMs() - synced.atMs,
  });
  const forwarder = new Forwarder({
    ...{ table, upstreams, room, clock, random, metrics, lead, tracer, slowCopies },
  });
  return { table, upstreams, slowCopies, metrics, forwarder };
}

export function startRouter(options: RouterOptions): Router {
  const { registry, clock, log, lead } = options;
  const synced = { atMs: clock.nowMs() };
  const { table, upstreams, slowCopies, metrics, forwarder } = coresOf(options, synced);
  const readiness = new Readiness();
  const changes = new Changes();
  const health = new Health();
  let isRetired = false;
  const waitingFor = (): readonly string[] =>
    isRetired ? ['the end: it is shutting down'] : readiness.waitingFor(table);
  const tellHealth = (): void => {
    const isServing = waitingFor().length === 0;
    for (const service of ['', SERVICE, PREDICTION_SERVICE, MODEL_SERVICE])
      health.set(service, isServing);
  };
  if (options.routes?.restore(table) === true) {
    upstreams.follow(table.nodes(), clock.nowMs());
    tellHealth();
  }
  const sync = startTableSync({
    registry,
    table,
    clock,
    log,
    onSynced() {
      synced.atMs = clock.nowMs();
      options.routes?.changed(table);
      upstreams.follow(table.nodes(), synced.atMs);
      forwarder.changed();
      tellHealth();
      changes.tell();
    },
  });
  const watching = watchHealth({ upstreams, slowCopies, clock, log, forwarder });
  const own = clusterService({
    table,
    upstreams,
    control: options.control,
    version: options.version,
    log,
    isReady: () => waitingFor().length === 0,
    clock,
    nextChange: (signal) => changes.next(signal),
    othersRefreshed: options.othersRefreshed ?? (() => Promise.resolve()),
  });
  const forwarded = forwarding(forwarder, metrics);
  const whole = (): Backend => {
    const serving = servingService(table, log);
    const merged = mergeBackends([forwarded, own, serving, healthService(health, log)]);
    return withReflection(merged, readDescriptors(), log);
  };
  const hasLocal = (options.localBackends?.size ?? 0) > 0;
  return {
    backend: lead === undefined ? whole() : inFrontOf(lead, forwarded),
    raw: hasLocal ? undefined : new PassOn({ methods: FORWARDED, forwarder }),
    waitingFor,
    retire() {
      isRetired = true;
      tellHealth();
    },
    refresh: () => sync.refresh(),
    stop() {
      isRetired = true;
      tellHealth();
      sync.stop();
      watching.stop();
      forwarder.stop(unavailable('router is shutting down'));
      upstreams.close();
    },
  };
}

function forwarding(forwarder: Forwarder, metrics: RouterMetrics): Backend {
  return {
    methods: FORWARDED,
    unary: (call) => forwardUnary(call, forwarder, metrics),
    stream: (call) => forwardStream(call, forwarder),
  };
}

/** The unary methods of `first` are its own, the rest is the lead's. */
function inFrontOf(lead: Backend, first: Backend): Backend {
  return {
    methods: lead.methods,
    unary: (call) => (first.methods.has(call.path) ? first : lead).unary(call),
    stream: (call) => lead.stream(call),
  };
}

/** Lets a handler wait for the next change of the table. */
class Changes {
  #next = Promise.withResolvers<void>();

  tell(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  next(signal: AbortSignal): Promise<void> {
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    return Promise.race([this.#next.promise, aborted]);
  }
}
