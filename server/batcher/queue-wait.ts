// How long a request that comes now would take to its answer, from how long runs took: what can't
// be answered before its deadline is refused at once, not after it has waited in vain. Under
// overload that is the difference between a server that answers what it can and one that computes
// what nobody waits for any more. Pure.
//
// Runs of like size are remembered together (by powers of two), each as a moving average. For a
// size that was not seen yet the time of the next smaller one stands in: too little rather than too
// much, so that who is in doubt lets in, and learns.

/** Part of the newest run in the average. */
const NEWEST = 0.2;
/**
 * The estimate is of the mean, and an answer has a way to go: it is taken for so much longer, or
 * half of those that are let in last would be computed and come just too late.
 */
const MARGIN = 1.3;
/** Rows up to 2^31. */
const SIZES = 32;

export interface Queued {
  /** Rows that wait, and those of who comes. */
  readonly rows: number;
  /** Requests likewise; each runs alone where there is no batching. */
  readonly requests: number;
  /** Most rows of a run; 0: each request runs alone. */
  readonly maxBatchSize: number;
  readonly instances: number;
}

export class QueueWait {
  /** Milliseconds by size; 0: not seen. */
  readonly #runMs = new Float64Array(SIZES);

  ran(rows: number, runMs: number): void {
    const size = sizeOf(rows);
    const last = this.#runMs[size] ?? 0;
    this.#runMs[size] = last === 0 ? runMs : last + (runMs - last) * NEWEST;
  }

  /**
   * Milliseconds until who comes last has an answer, all instances being in the middle of a run.
   * 0: nothing is known.
   */
  answerMs({ rows, requests, maxBatchSize, instances }: Queued): number {
    const isBatched = maxBatchSize > 0;
    const runs = isBatched ? Math.ceil(rows / maxBatchSize) : requests;
    const runMs = this.#timeOf(isBatched ? Math.min(rows, maxBatchSize) : 1);
    // Half of the runs that are under way; then as many at a time as there are instances.
    return MARGIN * runMs * (0.5 + Math.ceil(runs / instances));
  }

  #timeOf(rows: number): number {
    for (let size = sizeOf(rows); size >= 0; size--) {
      const runMs = this.#runMs[size] ?? 0;
      if (runMs > 0) return runMs;
    }
    return 0;
  }
}

function sizeOf(rows: number): number {
  return 31 - Math.clz32(Math.max(1, rows));
}
