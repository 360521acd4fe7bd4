// One timer for all deadlines of a client. Almost no deadline passes before its call is answered,
// so calls are not put in order: the earliest is kept, and when it comes, all calls are looked at.
import type { Clock } from '../../common/clock.ts';

/** Calls are looked at no more often than this, so that a deadline is kept this late at most. */
export const DEADLINE_GAP_MS = 4;

export class DeadlineWatch {
  readonly #clock: Clock;
  readonly #look: (nowMs: number) => number;
  #atMs = Number.POSITIVE_INFINITY;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #stopTimer: (() => void) | undefined;

  /**
   * @param look ends the calls whose deadlines are at `nowMs` or before; returns the earliest of
   * those left, Infinity for none.
   */
  constructor(clock: Clock, look: (nowMs: number) => number) {
    this.#clock = clock;
    this.#look = look;
  }

  /** Whether a timer runs. */
  get isArmed(): boolean {
    return this.#stopTimer !== undefined;
  }

  /** A call with this deadline has begun. */
  note(deadlineMs: number): void {
    if (deadlineMs < this.#atMs) this.#arm(deadlineMs);
  }

  stop(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#atMs = Number.POSITIVE_INFINITY;
  }

  #arm(atMs: number): void {
    this.stop();
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#atMs = atMs;
    const lookMs = Math.max(atMs, this.#lookedMs + DEADLINE_GAP_MS);
    const waitMs = Math.ceil(lookMs - this.#clock.nowMs());
    this.#stopTimer = this.#clock.after(Math.min(waitMs, LONGEST_TIMER_MS), () => this.#wake());
  }

  #wake(): void {
    this.#stopTimer = undefined;
    this.#atMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    this.#lookedMs = nowMs;
    // Calls that begin within `look` may have armed an earlier one.
    this.note(this.#look(nowMs));
  }
}

/** setTimeout takes no longer ones; the deadlines are looked at again then. */
const LONGEST_TIMER_MS = 3_600_000;
