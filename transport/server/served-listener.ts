// What all connections of a listener share: whom they serve, what they hold together, and one timer
// for all of their deadlines.
import type { Clock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import type { Backend } from '../backend.ts';
import type { RawBackend } from '../raw-call.ts';
import { ByteBudget } from './byte-budget.ts';
import { DeadlineWheel, type Due } from './deadline-wheel.ts';
import type { GrpcConnection } from './grpc-connection.ts';
import { Inflater } from './inflater.ts';
import type { ServerLimitName, ServerLimits } from './server-limits.ts';

/** Timers of the system are not set for longer; what is due later is looked at again. */
const LONGEST_TIMER_MS = 3_600_000;

export interface ListenerParts {
  readonly backend: Backend;
  readonly raw: RawBackend | undefined;
  readonly log: Log;
  readonly limits: ServerLimits;
  readonly clock: Clock;
  /** Gives numbers from 0 up to 1. */
  readonly random: () => number;
  /** A caller crossed a limit. */
  readonly onLimit: (name: ServerLimitName) => void;
}

export class ServedListener {
  readonly backend: Backend;
  readonly raw: RawBackend | undefined;
  readonly log: Log;
  readonly limits: ServerLimits;
  readonly onLimit: (name: ServerLimitName) => void;
  readonly requests: ByteBudget;
  readonly answers: ByteBudget;
  readonly inflater: Inflater;
  readonly connections = new Set<GrpcConnection>();
  readonly random: () => number;
  readonly #clock: Clock;
  readonly #deadlines: DeadlineWheel;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #stopTimer: (() => void) | undefined;

  constructor({ backend, raw, log, limits, clock, random, onLimit }: ListenerParts) {
    this.backend = backend;
    this.raw = raw;
    this.log = log;
    this.limits = limits;
    this.onLimit = onLimit;
    this.requests = new ByteBudget(limits.requestBytes);
    this.answers = new ByteBudget(limits.answerBytes);
    this.inflater = new Inflater(limits.messageBytes, limits.inflations);
    this.random = random;
    this.#clock = clock;
    this.#deadlines = new DeadlineWheel(clock.nowMs());
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  /** As Clock.after(). */
  after(delayMs: number, callback: () => void): () => void {
    return this.#clock.after(delayMs, callback);
  }

  /** Deadlines that are waited for. */
  get waiting(): number {
    return this.#deadlines.size;
  }

  await(entry: Due, nowMs: number): void {
    this.#deadlines.add(entry, nowMs);
    if (this.#deadlines.atMs < this.#timerAtMs) this.#arm(nowMs);
  }

  forget(entry: Due): void {
    this.#deadlines.remove(entry);
  }

  /** Nothing of it is left to run. */
  stop(): void {
    this.#stopTimer?.();
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }

  #arm(nowMs: number): void {
    this.#stopTimer?.();
    this.#timerAtMs = this.#deadlines.atMs;
    const waitMs = Math.min(Math.max(this.#timerAtMs - nowMs, 0), LONGEST_TIMER_MS);
    this.#stopTimer = this.#clock.after(waitMs, () => this.#onTimer());
  }

  #onTimer(): void {
    const nowMs = this.#clock.nowMs();
    this.#deadlines.advance(nowMs);
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    if (this.#deadlines.atMs !== Number.POSITIVE_INFINITY) this.#arm(nowMs);
  }
}
