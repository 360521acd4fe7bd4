// The instances of one model: starts their runs, sees when a run takes too long, and puts a new
// thread where one ended. Which request runs where is decided elsewhere.
import type { Clock } from '../../common/clock.ts';
import { Code, StatusError } from '../../common/status.ts';
import type { ModelFailure } from '../loaded-model.ts';
import type { Batch, EngineInstance, RunOutcome, Way } from './engine.ts';
import type { FirstRun } from './first-run.ts';
import { RestartPolicy } from './restart-policy.ts';

export interface PoolOptions {
  readonly instances: readonly EngineInstance[];
  /** Makes a replacement. */
  readonly startInstance: () => Promise<EngineInstance>;
  readonly clock: Clock;
  readonly maxRunMs: number;
  readonly firstRun?: FirstRun | undefined;
}

export interface PoolEvents {
  /** The instance is ready for a run. After a run: called before its `done`. */
  onFree(index: number): void;
  /** The instance is gone; onFree tells when it is back. */
  onGone(index: number, error: StatusError): void;
  /** Once at most; no run is taken from then on. Those in flight elsewhere still come to an end. */
  onFailed(failure: ModelFailure): void;
}

interface Slot {
  readonly index: number;
  readonly policy: RestartPolicy;
  instance: EngineInstance | undefined;
  /** Takes its place after the run in flight. */
  successor: EngineInstance | undefined;
  run: { readonly done: (outcome: RunOutcome) => void; readonly startedMs: number } | undefined;
  isHung: boolean;
}

export class InstancePool {
  readonly #options: PoolOptions;
  readonly #events: PoolEvents;
  readonly #slots: readonly Slot[];
  #watch: (() => void) | undefined;
  #firstRun: FirstRun | undefined;
  #ends = false;
  #hasFailed = false;
  readonly #starting = new Set<Promise<void>>();

  constructor(options: PoolOptions, events: PoolEvents) {
    this.#options = options;
    this.#events = events;
    this.#firstRun = options.firstRun;
    this.#slots = options.instances.map((instance, index) => {
      const policy = new RestartPolicy();
      return { index, policy, instance, successor: undefined, run: undefined, isHung: false };
    });
    for (const slot of this.#slots) if (slot.instance) this.#attend(slot, slot.instance);
  }

  get instanceCount(): number {
    return this.#slots.length;
  }

  /** Instances that have a thread now. */
  get aliveCount(): number {
    return this.#slots.filter(({ instance }) => instance !== undefined).length;
  }

  /** Of the first instance that has one. */
  get way(): Way {
    return this.#slots.find(({ instance }) => instance !== undefined)?.instance?.way ?? 'worker';
  }

  /** `index` is free. `done` is called once, before this returns where the instance is inline. */
  run(index: number, batch: Batch, done: (outcome: RunOutcome) => void): void {
    const slot = this.#slots[index];
    if (slot?.instance === undefined) throw new RangeError(`instance ${index} is not there`);
    const told = this.#firstRun === undefined ? done : this.#startFirst(this.#firstRun, done);
    slot.run = { done: told, startedMs: this.#options.clock.nowMs() };
    slot.instance.run(batch, (outcome) => this.#settle(slot, outcome));
    if (slot.run === undefined || this.#watch !== undefined) return;
    this.#watchAfter(this.#options.maxRunMs);
  }

  #startFirst(first: FirstRun, done: (outcome: RunOutcome) => void): typeof done {
    this.#firstRun = undefined;
    first.begins();
    return (outcome) => {
      first.ends();
      done(outcome);
    };
  }

  /**
   * Puts a replacement (of PoolOptions.startInstance) in the place of the instance, once it is
   * there and no run is in flight. @throws why there is none; the instance stays
   */
  async replace(index: number): Promise<void> {
    const slot = this.#slots[index];
    if (slot === undefined || this.#ends || this.#hasFailed) return;
    const instance = await this.#whileStarting(this.#options.startInstance());
    if (this.#ends || this.#hasFailed) return instance.stop();
    slot.successor = instance;
    if (slot.run === undefined) this.#succeed(slot);
  }

  #succeed(slot: Slot): void {
    const { successor, instance } = slot;
    if (successor === undefined || this.#ends) return;
    slot.successor = undefined;
    slot.instance = successor;
    this.#attend(slot, successor);
    void instance?.stop();
  }

  /** `stop` waits for it. */
  #whileStarting<T>(starting: Promise<T>): Promise<T> {
    const settled = starting.then(
      () => {},
      () => {},
    );
    this.#starting.add(settled);
    void settled.finally(() => this.#starting.delete(settled));
    return starting;
  }

  /** Waits for runs and threads, except for those that hang: they end whenever their run does. */
  async stop(): Promise<void> {
    this.#ends = true;
    await Promise.all(this.#starting);
    const stopped = this.#slots.map((slot) => {
      void slot.successor?.stop();
      const gone = slot.instance?.stop();
      return slot.isHung ? undefined : gone;
    });
    await Promise.all(stopped);
    this.#watch?.();
  }

  #settle(slot: Slot, outcome: RunOutcome): void {
    const run = slot.run;
    slot.run = undefined;
    if (outcome.ok || !outcome.hasEnded) slot.policy.ran();
    if (slot.isHung || run === undefined) return;
    this.#succeed(slot);
    if ((outcome.ok || !outcome.hasEnded) && !this.#hasFailed) this.#events.onFree(slot.index);
    run.done(outcome);
  }

  /** One timer for all runs, however many there are a second. */
  #watchAfter(delayMs: number): void {
    this.#watch = this.#options.clock.after(delayMs, () => {
      this.#watch = undefined;
      const nowMs = this.#options.clock.nowMs();
      let nextMs = Number.POSITIVE_INFINITY;
      for (const slot of this.#slots) {
        if (slot.run === undefined || slot.isHung) continue;
        const dueMs = slot.run.startedMs + this.#options.maxRunMs;
        if (dueMs <= nowMs) this.#hang(slot, slot.run);
        else nextMs = Math.min(nextMs, dueMs);
      }
      if (nextMs < Number.POSITIVE_INFINITY) this.#watchAfter(nextMs - nowMs);
    });
  }

  #hang(slot: Slot, run: { readonly done: (outcome: RunOutcome) => void }): void {
    slot.isHung = true;
    slot.run = undefined;
    const error = new StatusError(
      Code.UNAVAILABLE,
      `a run took longer than max_run_ms ${this.#options.maxRunMs}: the model is not served now`,
    );
    run.done({ ok: false, error, hasEnded: false });
    this.#fail({ kind: 'HUNG_RUN', error });
  }

  #fail(failure: ModelFailure): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#events.onFailed(failure);
  }

  #attend(slot: Slot, instance: EngineInstance): void {
    void instance.ended.then((error) => {
      if (error === undefined || this.#ends || slot.instance !== instance) return;
      slot.instance = undefined;
      this.#replace(slot, error);
    });
  }

  #replace(slot: Slot, error: StatusError): void {
    this.#events.onGone(slot.index, error);
    if (this.#ends || this.#hasFailed) return;
    const delayMs = slot.policy.ended();
    if (delayMs === undefined) this.#fail({ kind: 'CRASH_LOOP', error });
    else this.#options.clock.after(delayMs, () => this.#restart(slot));
  }

  #restart(slot: Slot): void {
    if (this.#ends || this.#hasFailed) return;
    const started = this.#whileStarting(this.#options.startInstance());
    void started.then(
      (instance) => {
        slot.instance = instance;
        this.#attend(slot, instance);
        if (!this.#ends && !this.#hasFailed) this.#events.onFree(slot.index);
      },
      (error: StatusError) => this.#replace(slot, error),
    );
  }
}
