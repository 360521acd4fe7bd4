// A node on one of its side threads: calls for inline models are answered here, over a session of
// this thread's own, from the first byte to the last. Everything else is the lead thread's.
import type { Clock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import type { Metrics } from '../../common/metrics.ts';
import { unavailable } from '../../common/status.ts';
import type { CallTracer } from '../../common/tracing/call-tracer.ts';
import type { ModelStatistics } from '../../proto/gen/inference/grpc_service.ts';
import { scanModelCall } from '../../proto/oip/scan.ts';
import type { Backend, UnaryCall } from '../../transport/backend.ts';
import type { PortCaller, PortFunctions } from '../../transport/port-calls.ts';
import { loadBeside } from '../engines/load-beside.ts';
import { registerInferenceMetrics } from '../metrics.ts';
import { type CallableVersion, ModelTable } from '../model-table.ts';
import { ModelInfer } from '../services/infer.ts';
import { MODEL_INFER } from '../services/inference.ts';
import { countsOf } from '../services/statistics.ts';
import { Predict } from '../services/tfs/predict.ts';
import { PREDICT } from '../services/tfs/serving.ts';
import { StatisticsBook } from '../statistics.ts';
import {
  functionName,
  type InlinePlan,
  type ShownVersion,
  type SideFunctions,
} from './side-plan.ts';

export interface SideNodeOptions {
  /** Of the node. */
  readonly id: string;
  /** The whole of the node on its lead thread. */
  readonly lead: Backend;
  /** Where the lead thread's functions are called. */
  readonly leadPort: PortCaller;
  readonly clock: Clock;
  /** Milliseconds since 1970, for what people read. */
  readonly dateMs: () => number;
  readonly metrics: Metrics;
  /** Undefined: no call is recorded here. */
  readonly tracer?: CallTracer | undefined;
  readonly log: Log;
}

export interface SideNode {
  /** Answers all that the lead thread does. */
  readonly backend: Backend;
  /** To be served to the lead thread: SideFunctions. */
  readonly functions: PortFunctions;
  /** Runs what is queued, lets go of the models. */
  stop(): Promise<void>;
}

/** Runs on the lead thread. */
const ELSEWHERE = 'elsewhere';

export function createSideNode(options: SideNodeOptions): SideNode {
  const { id, lead } = options;
  const models = new SideModels(options);
  const nowMs = (): number => options.clock.nowMs();
  const infer = new ModelInfer(models, nowMs, options.tracer);
  const predict = new Predict(models, nowMs, options.tracer);
  const unary = (call: UnaryCall): void => {
    const isInfer = call.path === MODEL_INFER;
    if (isInfer && infer.unaryIfKnown(call)) return;
    if (isInfer && models.isHere(call)) infer.unary(call);
    else if (call.path === PREDICT && models.isHere(call)) predict.unary(call);
    else lead.unary(call);
  };
  const named = (name: keyof SideFunctions): string => functionName(id, name);
  return {
    backend: {
      methods: lead.methods,
      unary,
      stream: (call) => lead.stream(call),
    },
    functions: {
      [named('load')]: (plan: InlinePlan) => models.load(plan),
      [named('unload')]: (key: string) => models.unload(key),
      [named('show')]: async (changes: readonly ShownVersion[]) => models.show(changes),
      [named('statistics')]: async () => models.statistics(),
    },
    stop: () => models.stop(),
  };
}

class SideModels {
  readonly #options: SideNodeOptions;
  readonly #book: StatisticsBook;
  readonly #table = new ModelTable<CallableVersion | typeof ELSEWHERE>();
  readonly #held = new Map<string, CallableVersion>();
  readonly #shown = new Map<string, ShownVersion>();

  constructor(options: SideNodeOptions) {
    this.#options = options;
    this.#book = new StatisticsBook(options.dateMs);
    registerInferenceMetrics(options.metrics, options.id, this.#book);
  }

  get generation(): number {
    return this.#table.generation;
  }

  /** @throws NOT_FOUND, INVALID_ARGUMENT, UNAVAILABLE for what does not run here */
  find(model: string, version: string): CallableVersion {
    const found = this.#table.find(model, version);
    if (found === ELSEWHERE) throw unavailable('this model runs on another thread');
    return found;
  }

  /** Whether the call is for a model that runs here; the lead has the word on all others. */
  isHere({ path, request }: UnaryCall): boolean {
    try {
      const named = scanModelCall(path, request);
      return named !== undefined && this.#table.find(named.model, named.version) !== ELSEWHERE;
    } catch {
      return false;
    }
  }

  async load(plan: InlinePlan): Promise<number> {
    const { clock, leadPort, id, log } = this.#options;
    const { key, engine, signature, queueTimeout } = plan;
    const statistics = this.#book.of(engine.model, engine.version);
    const { loaded, memoryBytes } = await loadBeside(engine, {
      clock,
      observer: statistics,
      onSlow: (reason) => {
        leadPort.call(functionName(id, 'slow'), key, reason).catch((error: unknown) => {
          log.debug({ err: error }, 'the first I/O thread has ended');
        });
      },
    });
    statistics.pending = () => loaded.inFlight;
    this.#held.set(key, { signature, loaded, statistics, queueTimeout });
    return memoryBytes;
  }

  async unload(key: string): Promise<void> {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.show([...this.#shown.values()].filter((one) => one.key === key));
    await held.loaded.stop();
    held.statistics.pending = () => 0;
    held.statistics.way = undefined;
  }

  show(changes: readonly ShownVersion[]): void {
    for (const one of changes) {
      const { model, version, weight, key } = one;
      if (key === undefined) {
        this.#shown.delete(`${model}/${version}`);
        this.#table.remove(model, version);
        continue;
      }
      this.#shown.set(`${model}/${version}`, one);
      const served = this.#held.get(key) ?? ELSEWHERE;
      this.#table.set({ model, version, state: 'READY', reason: '', weight, served });
    }
  }

  statistics(): readonly ModelStatistics[] {
    return Array.from(this.#book.all(), (one) => countsOf(one.model, one.version, one));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#held.keys()].map((key) => this.unload(key)));
  }
}
