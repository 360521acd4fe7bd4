// Whether a model's runs belong on the thread that serves. Pure: what was measured goes in, where
// to run comes out. A run there saves the hop to a thread and back (some 50 us, twice), and blocks
// every other call meanwhile: so it must be short, and known to stay short.

import type { TensorSpec } from '../../common/tensor.ts';
import type { Execution } from '../../model/config/policy.ts';

/** A full batch that takes longer is no inline run: another call would wait for it too long. */
export const MAX_INLINE_RUN_US = 300;
/**
 * The same where the process has one core. A worker there computes nothing at the same time: calls
 * wait for its run or make it longer, and each batch costs two switches between threads and a copy
 * more. So other models' calls, and sockets, wait for up to so long. What takes longer is left to
 * the system to share out, which costs little beside it.
 */
export const MAX_ONE_CORE_RUN_US = 3_000;
/**
 * Runs above the limit times this move the model to a worker, where it stays until it is loaded
 * again: a model at the border does not wander.
 */
const LEAVES_ABOVE = 2;
/**
 * Loading blocks the thread too: a larger file is not loaded there, nor one that took longer in a
 * worker (the first of a process takes some 100 ms, whatever it is).
 */
export const MAX_INLINE_FILE_BYTES = 16 * 1024 * 1024;
export const MAX_INLINE_LOAD_MS = 1_000;
/** A run above the limit counts as often as it would fit in there, but no more than this. */
const MOST_COUNTED = 4;
/** So many more slow runs than others mean that the model has become slow. */
const SLOW_RUNS = 32;

export interface InlineFacts {
  readonly execution: Execution;
  /** That this process may use at the same time. */
  readonly cores: number;
  readonly inputs: readonly TensorSpec[];
  readonly maxBatchSize: number;
  readonly instanceCount: number;
  readonly intraOpThreads: number;
  /** Every operator's cost follows from the shapes of the inputs (model/onnx/fixed-cost.ts). */
  readonly hasFixedCost: boolean;
  readonly fileBytes: number;
  readonly loadMs: number;
  /** Of a full batch of zeros; undefined where that failed or was too large to try. */
  readonly fullRunNs: number | undefined;
}

/** The longest run that the serving thread takes, where nobody has said where to run. */
export function maxInlineRunUs(cores: number): number {
  return cores > 1 ? MAX_INLINE_RUN_US : MAX_ONE_CORE_RUN_US;
}

/** Microseconds; a model that mostly takes longer does not stay. */
export function leavesAboveUs(cores: number): number {
  return LEAVES_ABOVE * maxInlineRunUs(cores);
}

/** Why the model runs in workers; undefined: it runs inline. */
export function obstacleToInline(facts: InlineFacts): string | undefined {
  if (facts.execution === 'inline') return undefined;
  if (facts.execution === 'worker') return 'configured so';
  const { inputs, maxBatchSize, fullRunNs } = facts;
  if (facts.instanceCount > 1) return `it has ${facts.instanceCount} instances`;
  if (facts.intraOpThreads > 1) return `a run has ${facts.intraOpThreads} threads`;
  if (!facts.hasFixedCost) return 'its operators may cost more than their shapes tell';
  for (const { name, datatype, shape } of inputs) {
    if (datatype === 'BYTES') return `input '${name}' is text of any length`;
    const inner = maxBatchSize > 0 ? shape.slice(1) : shape;
    if (inner.includes(-1)) return `input '${name}' has open dimensions`;
  }
  if (fullRunNs === undefined) return 'a full batch of zeros could not be run';
  const limitUs = maxInlineRunUs(facts.cores);
  if (fullRunNs > limitUs * 1e3) {
    return `a full batch takes ${Math.ceil(fullRunNs / 1e3)} us, above ${limitUs}`;
  }
  if (facts.fileBytes > MAX_INLINE_FILE_BYTES) {
    return `its file has ${facts.fileBytes} bytes, above ${MAX_INLINE_FILE_BYTES}`;
  }
  if (facts.loadMs > MAX_INLINE_LOAD_MS) {
    return `loading takes ${Math.ceil(facts.loadMs)} ms, above ${MAX_INLINE_LOAD_MS}`;
  }
  return undefined;
}

/**
 * Watches the runs of an inline model. It counts slow runs against others rather than taking a
 * mean: on a busy machine any run is interrupted now and then, for many times its own length.
 */
export class InlineCost {
  readonly #limitNs: number;
  #slow = 0;

  constructor(limitUs: number) {
    this.#limitNs = limitUs * 1e3;
  }

  /** Event: a run took so long. True: most of the latest were too slow for the thread. */
  ran(ns: number): boolean {
    const limitNs = this.#limitNs;
    if (ns <= limitNs) this.#slow = Math.max(0, this.#slow - 1);
    else this.#slow += Math.min(MOST_COUNTED, Math.floor(ns / limitNs));
    return this.#slow >= SLOW_RUNS;
  }

  reset(): void {
    this.#slow = 0;
  }
}
