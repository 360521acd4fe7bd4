// How long a call waits for its answer before it is sent to a second copy as well: the time within
// which 19 of 20 calls of its model have their answer. So about one call in twenty is sent twice,
// and the slowest are the ones that gain. Pure.

/** The part of the calls that has its answer by then. */
const QUANTILE = 0.95;
/** Of the estimate, moved with each call: it follows what the model does now. */
const STEP = 0.05;
const LEAST_STEP_MS = 0.05;
/** Before so many calls nothing is known. */
export const CALLS_BEFORE = 50;
/** Calls that are answered sooner are never sent twice. */
export const MIN_DELAY_MS = 1;
/** Models beyond that aren't sent twice. */
const MAX_MODELS = 10_000;

interface Estimate {
  delayMs: number;
  calls: number;
}

export class HedgeDelays {
  readonly #byModel = new Map<string, Estimate>();

  /** An answer has come. */
  note(model: string, latencyMs: number): void {
    let one = this.#byModel.get(model);
    if (one === undefined) {
      if (this.#byModel.size >= MAX_MODELS) return;
      one = { delayMs: latencyMs, calls: 0 };
      this.#byModel.set(model, one);
    }
    one.calls += 1;
    const step = Math.max(LEAST_STEP_MS, one.delayMs * STEP);
    if (latencyMs > one.delayMs) one.delayMs += step * QUANTILE;
    else one.delayMs = Math.max(0, one.delayMs - step * (1 - QUANTILE));
  }

  /** Infinity: not enough is known yet. */
  delayMs(model: string): number {
    const one = this.#byModel.get(model);
    if (one === undefined || one.calls < CALLS_BEFORE) return Number.POSITIVE_INFINITY;
    return Math.max(MIN_DELAY_MS, one.delayMs);
  }
}
