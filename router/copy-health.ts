// Whether a copy is fit for calls, from what came of those before: one that fails again and again,
// or takes far longer than the others, is left out for a while (it is ejected), and then comes back
// slowly. Pure: results and time go in.
//
// What counts as a failure is the node's own: INTERNAL, UNKNOWN, a lost connection. An overload
// that says so, a deadline, or a wrong request is none: leaving the node out would make it worse.

/** So many failures in a row, and a copy is ejected. */
export const EJECT_AFTER_FAILURES = 5;
/** The first time; as much longer each time after, ... */
export const EJECTION_MS = 30_000;
/** ... up to this. */
export const MAX_EJECTION_MS = 300_000;
/** Whoever comes back gets a growing share of its calls for so long. */
export const SLOW_START_MS = 10_000;
/** It begins with this share. */
export const FIRST_SHARE = 0.1;

/** Of a copy that has failed lately. */
export class CopyHealth {
  #failures = 0;
  #ejections = 0;
  #ejectedUntilMs = Number.NEGATIVE_INFINITY;

  get ejectedUntilMs(): number {
    return this.#ejectedUntilMs;
  }

  isEjected(nowMs: number): boolean {
    return nowMs < this.#ejectedUntilMs;
  }

  /** Nothing is held against it any more, but for how often it was ejected. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** True: it is ejected from now on. */
  failed(nowMs: number): boolean {
    this.#failures += 1;
    if (this.#failures < EJECT_AFTER_FAILURES || this.isEjected(nowMs)) return false;
    this.eject(nowMs);
    return true;
  }

  eject(nowMs: number): void {
    const goodMs = nowMs - this.#ejectedUntilMs;
    const forgiven = Number.isFinite(goodMs) ? Math.floor(goodMs / EJECTION_MS) : 0;
    this.#ejections = Math.max(0, this.#ejections - forgiven) + 1;
    this.#ejectedUntilMs = nowMs + Math.min(MAX_EJECTION_MS, EJECTION_MS * this.#ejections);
    this.#failures = 0;
  }

  /** What is known of it makes no difference any more. */
  isForgotten(nowMs: number): boolean {
    if (this.#failures > 0) return false;
    return nowMs - this.#ejectedUntilMs >= MAX_EJECTION_MS;
  }
}

/**
 * The share of its calls that one gets who is back since then; 1 once it has all of them.
 * @param sinceMs -Infinity: it was never away
 */
export function slowStartShare(sinceMs: number, nowMs: number): number {
  const part = (nowMs - sinceMs) / SLOW_START_MS;
  return part >= 1 ? 1 : Math.max(FIRST_SHARE, part);
}

/** How many of a model's copies may be left out at once: never more than half. */
export function mostEjected(copies: number): number {
  return Math.floor(copies / 2);
}
