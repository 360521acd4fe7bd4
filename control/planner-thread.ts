// The planner on a thread of its own: reading and planning 100,000 models takes seconds, and the
// thread of control has leases to renew and calls to answer meanwhile. That thread keeps the lease,
// so it writes the shards, and only while it is sure to lead. A planner thread that ends, or hangs,
// is replaced with the next plan, which its leader asks for soon: nothing is lost with it but time.
import { Worker } from 'node:worker_threads';
import type { Kind } from '../catalog/catalog.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { AssignmentShard, ShardStep } from '../registry/registry.ts';
import { callOverPort, type PortCaller, servePort } from '../transport/port-calls.ts';
import type { PlanOutcome } from './leader-state.ts';
import type { PlanMaker, PlanParts, PlanReport, PlanRequest } from './planner.ts';

/** A plan that takes longer hangs: its thread is ended. Reading a large catalog takes seconds. */
export const MAX_PLAN_MS = 120_000;
/** For its connections, before a thread is ended as it is. */
const STOP_MS = 1_000;

/** As --registry and --catalog give them: the thread has connections of its own. */
export interface StoreAddresses {
  readonly registry: string;
  readonly catalog: string;
}

/** What the thread is started with. */
export interface PlannerData extends StoreAddresses {
  readonly logLevel: string;
  readonly holdsMassRemovals: boolean;
}

/** A message beside the calls: however many come, none waits for an answer. */
export interface Told {
  readonly told: readonly [Kind, string];
}

export interface PlannerThreadOptions extends PlanParts {
  readonly planning: StoreAddresses;
  readonly clock: Clock;
  readonly log: Log;
  /** A thread ended that was not to. */
  readonly onLost: () => void;
  /** Default: planner-worker.ts. */
  readonly program?: URL;
}

interface Running {
  readonly worker: Worker;
  readonly caller: PortCaller;
}

export class PlannerThread implements PlanMaker {
  readonly #options: PlannerThreadOptions;
  #running: Running | undefined;

  constructor(options: PlannerThreadOptions) {
    this.#options = options;
  }

  /** A thread that is started later reads everything. */
  told(kind: Kind, key: string): void {
    this.#running?.worker.postMessage({ told: [kind, key] } satisfies Told);
  }

  async run(request: PlanRequest): Promise<PlanOutcome> {
    const running = this.#running ?? this.#start();
    this.#running = running;
    const { clock, log } = this.#options;
    const stopTimer = clock.after(MAX_PLAN_MS, () => {
      log.error({ maxPlanMs: MAX_PLAN_MS }, 'the planner hangs: its thread is ended');
      void running.worker.terminate();
    });
    try {
      return (await running.caller.call('run', request)) as PlanOutcome;
    } catch (error) {
      log.warn({ err: error }, 'the plan was lost with its thread, it is made again');
      return 'failed';
    } finally {
      stopTimer();
    }
  }

  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    const { clock } = this.#options;
    const late = new Promise<void>((resolve) => clock.after(STOP_MS, resolve));
    await Promise.race([running.caller.call('stop').catch(() => {}), late]);
    await running.worker.terminate();
  }

  #start(): Running {
    const { planning, holdsMassRemovals, log, onLost, program } = this.#options;
    const workerData: PlannerData = { ...planning, holdsMassRemovals, logLevel: log.level };
    const url = program ?? new URL('./planner-worker.ts', import.meta.url);
    const worker = new Worker(url, { workerData });
    const running = { worker, caller: callOverPort(worker) };
    const { put } = this.#options;
    servePort(worker, { put: (shard: AssignmentShard, step?: ShardStep) => put(shard, step) });
    worker.on('message', ({ report }: { report?: PlanReport }) => {
      if (report !== undefined) this.#options.onReport(report);
    });
    worker.on('error', (error) => log.error({ err: error }, 'the planner thread has failed'));
    worker.once('exit', () => {
      if (this.#running !== running) return;
      this.#running = undefined;
      onLost();
    });
    return running;
  }
}
