// Whether calls got slower than before a fault. Pure.
import type { Figures } from './call-book.ts';
import type { Criterion } from './fault.ts';

/** Below this a p99 is the noise of a machine whose every core is busy, and no ratio is taken. */
const NOISE_MS = 10;

/** @param times how many times as slow as before calls may be */
export function slowerThan(
  promise: string,
  now: Figures,
  before: Figures,
  times: number,
): Criterion {
  const limitMs = times * Math.max(before.p99Ms, NOISE_MS);
  const measured = `${now.p99Ms.toFixed(1)} ms, ${before.p99Ms.toFixed(1)} ms before`;
  return { promise, measured, isKept: now.calls > 0 && now.p99Ms <= limitMs };
}
