// A model that serves: joins the batcher, which decides, with the pool, which computes, and the
// clock. Requests are answered from here, each once.
import type { Clock } from '../../common/clock.ts';
import { Code, invalidArgument, StatusError, unavailable } from '../../common/status.ts';
import type { TensorSpec } from '../../common/tensor.ts';
import { type TickEnd, TURN_WORK_MS, tickEnd } from '../../common/tick-end.ts';
import { Batcher } from '../batcher/batcher.ts';
import { QueueWait } from '../batcher/queue-wait.ts';
import { late, overloaded } from '../batcher/refusals.ts';
import type {
  FailReason,
  InferRequest,
  LoadedModel,
  ModelFailure,
  ModelObserver,
  ModelState,
  ShedReason,
} from '../loaded-model.ts';
import type { RunOutcome, Way } from './engine.ts';
import { InlineCost } from './inline-cost.ts';
import { InstancePool, type PoolOptions } from './instance-pool.ts';
import type { InlineEngine } from './load-beside.ts';
import { stringsProblem } from './onnx/string-tensors.ts';
import { Scatter, unsplittable } from './scatter.ts';

/** Below it a timer would be too late: the event loop turns until then. */
const SPIN_BELOW_MS = 1;

export interface BatchedModelOptions extends Omit<PoolOptions, 'maxRunMs'> {
  readonly engine: InlineEngine;
  readonly memoryBytes: number;
  /** Hears of inline runs that have become slow. Default: the model moves to a worker. */
  readonly onSlow?: (reason: string) => void;
  readonly observer: ModelObserver;
  readonly onFailed?: ((failure: ModelFailure) => void) | undefined;
  /** Default: this thread's. */
  readonly tickEnd?: TickEnd;
}

export class BatchedModel implements LoadedModel {
  readonly model: string;
  readonly version: number;
  readonly engine: InlineEngine;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly maxBatchSize: number;
  readonly memoryBytes: number;
  readonly #options: BatchedModelOptions;
  readonly #clock: Clock;
  readonly #observer: ModelObserver;
  readonly #batcher: Batcher<InferRequest>;
  readonly #pool: InstancePool;
  readonly #wait = new QueueWait();
  /** Inputs whose dimensions after the first may differ between requests. */
  readonly #open: readonly number[];
  readonly #texts: readonly number[];
  #state: ModelState = 'READY';
  #running = 0;
  #isDecisionComing = false;
  #calledMs = 0;
  #isDeciding = false;
  #isMoving = false;
  readonly #cost: InlineCost;
  readonly #tickEnd: TickEnd;
  readonly #onTickEnd = (): void => {
    this.#isDecisionComing = false;
    this.#decide();
  };
  #armedMs = Number.POSITIVE_INFINITY;
  #disarm: () => void = () => {};
  #onDrained: () => void = () => {};
  #stopped: Promise<void> | undefined;

  constructor(options: BatchedModelOptions) {
    this.#options = options;
    const { engine } = options;
    this.engine = engine;
    this.model = engine.model;
    this.version = engine.version;
    this.inputs = engine.inputs;
    this.outputs = engine.outputs;
    this.maxBatchSize = engine.limits.maxBatchSize;
    this.memoryBytes = options.memoryBytes;
    this.#clock = options.clock;
    this.#tickEnd = options.tickEnd ?? tickEnd;
    this.#observer = options.observer;
    this.#batcher = new Batcher(engine.limits);
    this.#cost = new InlineCost(engine.leavesAboveUs);
    this.#open = indexesOf(this.inputs, ({ shape }) => shape.slice(1).includes(-1));
    this.#texts = indexesOf(this.inputs, ({ datatype }) => datatype === 'BYTES');
    this.#pool = new InstancePool(
      { ...options, maxRunMs: engine.maxRunMs },
      {
        onFree: (index) => {
          this.#batcher.free(index);
          // Within a decision it was an inline run that ended: the decision goes on.
          if (!this.#isDeciding) this.#decide();
        },
        onGone: (index, error) => {
          this.#batcher.withdraw(index);
          this.#observer.instanceReplaced?.(error.message);
        },
        onFailed: (failure) => this.#fail(failure),
      },
    );
    for (let index = 0; index < this.#pool.instanceCount; index++) this.#batcher.free(index);
  }

  get state(): ModelState {
    return this.#state;
  }

  get instanceCount(): number {
    return this.#pool.instanceCount;
  }

  get way(): Way {
    return this.#pool.way;
  }

  get inFlight(): number {
    return this.#batcher.queued + this.#running;
  }

  submit(request: InferRequest): void {
    const nowMs = this.#turnMs();
    request.arrivedMs = nowMs;
    request.shapeKey = this.#shapeKeyOf(request);
    if (this.#state !== 'READY') {
      const text = `model '${this.model}' version ${this.version} is ${this.#state.toLowerCase()}`;
      this.#refuse(request, unavailable(text), 'REJECTED', nowMs);
      return;
    }
    const problem = this.#problemOf(request);
    if (problem !== undefined) this.#refuse(request, problem, 'OTHER', nowMs);
    else if (request.deadlineMs <= nowMs) this.#refuse(request, late(), 'TIMEOUT', nowMs);
    else if (this.#batcher.idleInstances > 0) this.#takeIn(request, nowMs);
    else {
      const lateMs = this.#answerMs(request) - (request.deadlineMs - nowMs);
      if (lateMs > 0) this.#shed(request, 'deadline', lateMs, nowMs);
      else this.#takeIn(request, nowMs);
    }
  }

  #takeIn(request: InferRequest, nowMs: number): void {
    if (!this.#enqueue(request)) {
      this.#shed(request, 'queue-full', this.#answerMs(request) / 2, nowMs);
    } else if (this.#batcher.idleInstances === 0) this.#arm();
    else this.#decideSoon(nowMs);
  }

  /** Until it would have an answer, with all that wait before it. */
  #answerMs({ rows }: InferRequest): number {
    return this.#wait.answerMs({
      rows: this.#batcher.queuedRows + rows,
      requests: this.#batcher.queued + 1,
      maxBatchSize: this.maxBatchSize,
      instances: this.#pool.instanceCount,
    });
  }

  #shed(request: InferRequest, reason: ShedReason, lateMs: number, nowMs: number): void {
    this.#observer.requestShed?.(reason);
    this.#refuse(request, overloaded(reason, lateMs), 'REJECTED', nowMs);
  }

  /** While a decision is coming, all that arrives counts as come when it was called for. */
  #turnMs(): number {
    return this.#isDecisionComing ? this.#calledMs : this.#clock.nowMs();
  }

  /** Idle instances are put to work before anyone is refused. */
  #enqueue(request: InferRequest): boolean {
    if (this.#batcher.arrive(request)) return true;
    if (this.#batcher.idleInstances === 0) return false;
    this.#decide();
    return this.#batcher.arrive(request);
  }

  cancel(request: InferRequest): void {
    if (!this.#batcher.cancel(request)) return;
    const error = new StatusError(Code.CANCELLED, 'the caller cancelled the request');
    this.#refuse(request, error, 'CANCELED', this.#clock.nowMs());
    this.#checkDrained();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#drain();
    return this.#stopped;
  }

  async #drain(): Promise<void> {
    if (this.#state === 'READY') {
      this.#state = 'STOPPING';
      this.#batcher.drain();
      this.#decide();
      if (this.#pool.aliveCount === 0) this.#evict(unavailable('the model is being unloaded'));
      if (this.inFlight > 0) {
        await new Promise<void>((resolve) => {
          this.#onDrained = resolve;
        });
      }
      if (this.#state === 'STOPPING') this.#state = 'STOPPED';
    }
    await this.#pool.stop();
    this.#disarm();
  }

  /** '' for models whose shapes are fixed after the first dimension: all requests fit together. */
  #shapeKeyOf(request: InferRequest): string {
    if (this.#open.length === 0 || this.maxBatchSize === 0) return '';
    let key = '';
    for (const index of this.#open) {
      const shape = request.inputs[index]?.shape ?? [];
      for (let i = 1; i < shape.length; i++) key += `${shape[i]},`;
      key += ';';
    }
    return key;
  }

  #problemOf(request: InferRequest): StatusError | undefined {
    if (this.maxBatchSize > 0 && !(request.rows >= 1 && request.rows <= this.maxBatchSize)) {
      return invalidArgument(
        `inference request batch-size must be from 1 to ${this.maxBatchSize} for ` +
          `'${this.model}', got ${request.rows}`,
      );
    }
    for (const index of this.#texts) {
      const tensor = request.inputs[index];
      const problem = tensor === undefined ? undefined : stringsProblem(tensor);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  /** At the end of this turn of the event loop: what comes together runs together. */
  #decideSoon(nowMs: number): void {
    if (this.#isDecisionComing) return;
    this.#isDecisionComing = true;
    this.#calledMs = nowMs;
    this.#tickEnd.work(this.#onTickEnd);
  }

  #decide(): void {
    if (this.#isDeciding) return;
    this.#isDeciding = true;
    const startMs = this.#clock.nowMs();
    let nowMs = startMs;
    let hasRun = this.#act(nowMs);
    // Inline runs are over by now, and their instance is free again.
    while (hasRun && this.#batcher.idleInstances > 0 && this.#batcher.queued > 0) {
      nowMs = this.#clock.nowMs();
      if (nowMs - startMs > TURN_WORK_MS) {
        this.#decideSoon(nowMs);
        break;
      }
      hasRun = this.#act(nowMs);
    }
    this.#isDeciding = false;
    this.#arm();
    this.#checkDrained();
  }

  /** Whether anything was run. */
  #act(nowMs: number): boolean {
    let hasRun = false;
    for (const action of this.#batcher.decide(nowMs)) {
      if (action.kind === 'expire') this.#refuse(action.request, late(), 'TIMEOUT', nowMs);
      else {
        this.#run(action.instance, action.requests, action.rows, nowMs);
        hasRun = true;
      }
    }
    return hasRun;
  }

  #arm(): void {
    const { wakeMs } = this.#batcher;
    if (wakeMs >= this.#armedMs) return;
    const nowMs = this.#clock.nowMs();
    const waitMs = wakeMs - nowMs;
    if (waitMs < SPIN_BELOW_MS) {
      this.#decideSoon(nowMs);
      return;
    }
    this.#disarm();
    this.#armedMs = wakeMs;
    this.#disarm = this.#clock.after(Math.floor(waitMs), () => {
      this.#armedMs = Number.POSITIVE_INFINITY;
      this.#decide();
    });
  }

  #run(instance: number, requests: InferRequest[], rows: number, nowMs: number): void {
    this.#running += requests.length;
    const batch = { requests, rows: this.maxBatchSize === 0 ? 0 : rows };
    this.#pool.run(instance, batch, (outcome) => {
      this.#running -= requests.length;
      if (outcome.ok) this.#wait.ran(this.maxBatchSize === 0 ? 1 : rows, outcome.runNs / 1e6);
      this.#answer(requests, rows, nowMs, outcome);
      if (outcome.ok) this.#watchCost(outcome.runNs);
      if (!this.#isDeciding) this.#checkDrained();
    });
  }

  #watchCost(runNs: number): void {
    if (this.#isMoving || this.#pool.way === 'worker' || !this.#cost.ran(runNs)) return;
    this.#cost.reset();
    const reason = `most runs took more than ${this.engine.leavesAboveUs} us`;
    const { onSlow } = this.#options;
    if (onSlow === undefined) this.leaveInline(reason);
    else onSlow(reason);
  }

  leaveInline(reason: string): void {
    if (this.#isMoving || this.#pool.way === 'worker') return;
    this.#isMoving = true;
    this.#pool.replace(0).then(
      () => this.#observer.wayChosen?.(this.way, reason),
      // It goes on inline, and tries again after as many slow runs.
      (error: StatusError) => {
        this.#isMoving = false;
        this.#observer.wayChosen?.(this.way, `${reason}, but no worker starts: ${error.message}`);
      },
    );
  }

  #answer(requests: InferRequest[], rows: number, startedMs: number, outcome: RunOutcome): void {
    const endMs = this.#clock.nowMs();
    const isShared = requests.length > 1;
    if (!outcome.ok || (isShared && unsplittable(outcome.outputs, rows) !== undefined)) {
      const error = outcome.ok ? unsplittable(outcome.outputs, rows) : outcome.error;
      const told = error ?? unavailable('the run has no outcome');
      for (const request of requests) this.#refuse(request, told, 'BACKEND', endMs);
      return;
    }
    const { computeInputNs, computeInferNs, computeOutputNs } = outcome;
    const timings = { computeInputNs, computeInferNs, computeOutputNs, batchRows: rows };
    this.#count(requests, startedMs, endMs);
    this.#observer.batchDone?.(requests.length, timings);
    const scatter = new Scatter(outcome.outputs, timings, startedMs);
    for (const request of requests) {
      scatter.take(request);
      request.succeed(scatter);
    }
  }

  /** Most requests of a batch came at the same moment: they are counted together. */
  #count(requests: InferRequest[], startedMs: number, endMs: number): void {
    let first = requests[0];
    let count = 0;
    for (const request of requests) {
      if (first !== undefined && request.arrivedMs !== first.arrivedMs) {
        this.#countAlike(first, count, startedMs, endMs);
        first = request;
        count = 0;
      }
      count += 1;
    }
    if (first !== undefined) this.#countAlike(first, count, startedMs, endMs);
  }

  #countAlike({ arrivedMs }: InferRequest, count: number, startedMs: number, endMs: number): void {
    const queueNs = (startedMs - arrivedMs) * 1e6;
    this.#observer.requestsSucceeded?.(count, (endMs - arrivedMs) * 1e6, queueNs);
  }

  #refuse(request: InferRequest, error: StatusError, reason: FailReason, nowMs: number): void {
    this.#observer.requestFailed?.(reason, (nowMs - request.arrivedMs) * 1e6);
    request.fail(error);
  }

  #evict(error: StatusError): void {
    const nowMs = this.#clock.nowMs();
    for (const request of this.#batcher.evict()) this.#refuse(request, error, 'BACKEND', nowMs);
  }

  #fail(failure: ModelFailure): void {
    this.#state = 'FAILED';
    this.#evict(failure.error);
    this.#options.onFailed?.(failure);
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (this.inFlight === 0 && this.#state !== 'READY') this.#onDrained();
  }
}

function indexesOf(
  specs: readonly TensorSpec[],
  isWanted: (spec: TensorSpec) => boolean,
): readonly number[] {
  return specs.flatMap((spec, index) => (isWanted(spec) ? [index] : []));
}
