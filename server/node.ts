// The inference node: puts the parts of this folder together, over a cluster's registry or over a
// model repository of its own. No socket is opened here: what it answers is a Backend.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import { checkName } from '../common/names.ts';
import { type StatusError, unavailable } from '../common/status.ts';
import type { CallTracer } from '../common/tracing/call-tracer.ts';
import { MODEL_SERVICE, PREDICTION_SERVICE } from '../proto/tfs/services.ts';
import { diskError } from '../stores/disk-error.ts';
import type { Backend } from '../transport/backend.ts';
import { mergeBackends } from '../transport/service.ts';
import { Health } from '../transport/services/health.ts';
import { Copies } from './copies.ts';
import { DemandGate } from './demand-gate.ts';
import { createLoadModel } from './engines/load-model.ts';
import { Quarantine } from './engines/marker.ts';
import type { LoadModel } from './loaded-model.ts';
import { registerInferenceMetrics } from './metrics.ts';
import { ModelTable } from './model-table.ts';
import { nodeLoads } from './node-loads.ts';
import { type Driver, type NodeSource, openSource } from './node-source.ts';
import { createInferenceService, type InferenceService, SERVICE } from './services/inference.ts';
import { createServingBackend } from './services/tfs/serving.ts';
import { StatisticsBook } from './statistics.ts';
import type { SideThreads } from './threads/side-threads.ts';
import { VERSION_LIMITS } from './versions.ts';

/** Drain takes calls for so long yet: routers need to hear of it. */
export const DRAIN_SETTLE_MS = 1_000;
/** While its copies get ready elsewhere it looks so often whether they are. */
const HANDOVER_LOOK_MS = 50;
/** Then it waits for running requests; what is not done by then fails with UNAVAILABLE. */
export const DRAIN_TIMEOUT_MS = 30_000;
const DRAIN_LOOK_MS = 20;

export interface NodeOptions {
  readonly id: string;
  readonly source: NodeSource;
  /** Cache, markers and the last assignment; made when it is not there. */
  readonly dataDir: string;
  readonly clock: Clock;
  /** Milliseconds since 1970, for what people read. */
  readonly dateMs: () => number;
  readonly log: Log;
  /** One of its own for each node; common/metrics.ts joins them. */
  readonly metrics: Metrics;
  /** Default: ONNX Runtime in worker threads. */
  readonly loadModel?: LoadModel;
  /** Other threads that serve for this node; this one leads. Default: there are none. */
  readonly sideThreads?: SideThreads;
  /** Of the software. */
  readonly serverVersion: string;
  /** Undefined: no call is recorded. */
  readonly tracer?: CallTracer | undefined;
  /**
   * A drain first waits, so long at most, until the cluster has taken all its copies away, and
   * meanwhile answers like before. Default 0: the whole cluster ends.
   */
  readonly handoverMs?: number;
  /** After a hung run, when the node has drained: the process must end, and be started anew. */
  readonly onFatal: (error: StatusError) => void;
}

export interface InferenceNode {
  /**
   * inference.GRPCInferenceService and the two of tensorflow.serving; health and reflection are
   * added where it is mounted.
   */
  readonly backend: Backend;
  /** Of the whole ('') and of the service. */
  readonly health: Health;
  /** What it still waits for; empty: ready. */
  waitingFor(): readonly string[];
  /**
   * No more new work: resolves when what was taken has been answered, or DRAIN_TIMEOUT_MS is over.
   */
  drain(): Promise<void>;
  /** Drains no more, leaves the cluster, stops the models. */
  stop(): Promise<void>;
}

/** @throws INVALID_ARGUMENT for a bad id; what the disk says when a folder can't be used. */
export async function startNode(options: NodeOptions): Promise<InferenceNode> {
  checkName('node', options.id);
  const { source, dataDir, clock, log, sideThreads } = options;
  await mkdir(dataDir, { recursive: true }).catch((cause: unknown) => {
    throw diskError(cause, "make the node's folder", dataDir);
  });
  const quarantine = await Quarantine.open(join(dataDir, 'markers'), options.dateMs);
  const table = new ModelTable();
  const book = new StatisticsBook(options.dateMs);
  registerInferenceMetrics(options.metrics, options.id, book);
  const health = new Health();
  const state = new NodeState(health);
  const others = sideThreads && (() => sideThreads.statistics());
  const loads = nodeLoads({ book, others, nowMs: () => clock.nowMs() });
  const opened = await openSource(source, { id: options.id, dataDir, clock, log, loads });
  let onChange = (): void => undefined;
  let gate: DemandGate | undefined;
  let onHung = (_error: StatusError): void => undefined;
  const copies = new Copies({
    table,
    fetch: opened.fetch,
    load: { loadModel: options.loadModel ?? createLoadModel(), book, clock, quarantine },
    sideThreads,
    lingerMs: source.kind === 'cluster' ? VERSION_LIMITS.lingerMs : 0,
    memoryLimitBytes: source.kind === 'cluster' ? source.node.memoryLimitBytes : 0,
    clock,
    log,
    onChange: () => onChange(),
    onHung: (error) => onHung(error),
  });
  const driver = opened.drive(copies);
  onChange = () => {
    driver.onChange();
    state.settle(driver.isSynced(), copies);
    gate?.changed();
  };
  const inference = createInferenceService(
    {
      table,
      repository: driver.control,
      isReady: () => state.isReady,
      serverVersion: options.serverVersion,
      nowMs: () => clock.nowMs(),
      tracer: options.tracer,
      otherStatistics: others,
    },
    log,
  );
  const serving = createServingBackend(
    { table, nowMs: () => clock.nowMs(), tracer: options.tracer },
    log,
  );
  gate = new DemandGate(mergeBackends([inference.backend, serving]), copies, clock);
  let draining: Promise<void> | undefined;
  const node: InferenceNode = {
    backend: guarded(gate, state),
    health,
    waitingFor: () => state.waitingFor(),
    drain: () => {
      draining ??= drain({
        state,
        driver,
        copies,
        clock,
        inference,
        handoverMs: options.handoverMs ?? 0,
      });
      return draining;
    },
    async stop() {
      state.close();
      inference.endStreams();
      gate.stop(unavailable('this node has stopped: try another one'));
      await driver.stop();
      await copies.stop();
    },
  };
  onHung = (error) => void node.drain().then(() => options.onFatal(error));
  await driver.start();
  state.settle(driver.isSynced(), copies);
  return node;
}

/** Where the node stands: starting, ready, draining, closed. */
class NodeState {
  readonly #health: Health;
  #phase: 'starting' | 'ready' | 'draining' | 'closed' = 'starting';
  #waiting: readonly string[] = ['what to serve'];

  constructor(health: Health) {
    this.#health = health;
    this.#tell();
  }

  get isReady(): boolean {
    return this.#phase === 'ready';
  }

  get isClosed(): boolean {
    return this.#phase === 'closed';
  }

  waitingFor(): readonly string[] {
    return this.isReady
      ? []
      : [this.#phase === 'starting' ? this.#waiting.join(', ') : this.#phase];
  }

  /** Ready once everything wanted at the start was loaded, or failed once; it stays so. */
  settle(isSynced: boolean, copies: Copies): void {
    if (this.#phase !== 'starting' || !isSynced) return;
    const loading = copies.statuses().filter(({ state }) => state === 'LOADING');
    this.#waiting = loading.map(({ model, version }) => `model ${model} version ${version}`);
    if (loading.length > 0) return;
    this.#phase = 'ready';
    this.#tell();
  }

  drain(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'draining';
    this.#tell();
  }

  close(): void {
    this.#phase = 'closed';
    this.#tell();
  }

  #tell(): void {
    for (const service of ['', SERVICE, PREDICTION_SERVICE, MODEL_SERVICE])
      this.#health.set(service, this.isReady);
  }
}

/** Refuses what comes after the end; before that the node answers as it can. */
function guarded(backend: Backend, state: NodeState): Backend {
  const gone = (): StatusError => unavailable('this node has stopped: try another one');
  return {
    methods: backend.methods,
    unary: (call) => (state.isClosed ? call.fail(gone()) : backend.unary(call)),
    stream: (call) => (state.isClosed ? call.fail(gone()) : backend.stream(call)),
  };
}

interface Draining {
  readonly state: NodeState;
  readonly driver: Driver;
  readonly copies: Copies;
  readonly clock: Clock;
  readonly inference: InferenceService;
  readonly handoverMs: number;
}

async function drain(draining: Draining): Promise<void> {
  const { state, driver, copies, clock, inference, handoverMs } = draining;
  const startMs = clock.nowMs();
  if (handoverMs === 0) state.drain();
  await driver.drain();
  const pause = (delayMs: number): Promise<void> =>
    new Promise((resolve) => clock.after(delayMs, resolve));
  // A copy that is ready elsewhere is wanted here no more, and unloaded.
  const holds = (): boolean => copies.statuses().some((copy) => copy.state === 'READY');
  while (holds() && clock.nowMs() - startMs < handoverMs) await pause(HANDOVER_LOOK_MS);
  state.drain();
  await pause(DRAIN_SETTLE_MS);
  inference.endStreams();
  while (copies.inFlight > 0 && clock.nowMs() - startMs < DRAIN_TIMEOUT_MS) {
    await pause(DRAIN_LOOK_MS);
  }
  state.close();
}
