// The first runs of a freshly loaded model, on zeros, so that no caller waits for what the runtime
// does once: with one row, and with as many as a batch may have. Open dimensions are 1.
//
// A model may rightly refuse zeros (an empty text, a size of 0), so a failed first run is only
// reported. One that takes 1 row but not max_batch_size rows, or gives outputs that can't be told
// apart by row, could never serve a batch: that is an error of the load.
import { invalidArgument, type StatusError } from '../../common/status.ts';
import {
  elementCount,
  elementSizeBytes,
  type Tensor,
  type TensorSpec,
} from '../../common/tensor.ts';
import type { EngineInstance, RunOutcome } from './engine.ts';
import { unsplittable } from './scatter.ts';

/** A run on more zeros than that is left out. */
export const MAX_WARM_UP_BYTES = 64 * 1024 * 1024;
/** A zero-length string is four zero bytes. */
const EMPTY_STRING_BYTES = 4;

/** Why this signature can't be batched; undefined when it can. */
export function unbatchable(
  inputs: readonly TensorSpec[],
  maxBatchSize: number,
): string | undefined {
  if (maxBatchSize === 0) return undefined;
  if (inputs.length === 0) return 'it has no inputs';
  const wrong = inputs.find(({ shape }) => shape[0] !== -1 && (shape[0] !== 1 || maxBatchSize > 1));
  if (wrong === undefined) return undefined;
  return `the first dimension of input '${wrong.name}' [${wrong.shape.join(',')}] is not open`;
}

/** A full batch is run so often, but once where it takes long: the shortest time counts. */
const TIMED_RUNS = 5;
const NOT_TIMED_ABOVE_NS = 20e6;

export interface WarmedUp {
  /** Why a run on zeros failed, where that is no reason to refuse the model. */
  readonly problem: string | undefined;
  /** Shortest time of a full batch in the runtime; undefined where none was run. */
  readonly fullRunNs: number | undefined;
}

/**
 * @throws INVALID_ARGUMENT for a model that can't serve batches; UNAVAILABLE if the thread ended.
 */
export async function warmUp(instance: EngineInstance, maxBatchSize: number): Promise<WarmedUp> {
  const first = await runZeros(instance, Math.min(1, maxBatchSize));
  if (typeof first !== 'number') return { problem: first?.message, fullRunNs: undefined };
  let fullRunNs = Number.POSITIVE_INFINITY;
  for (let run = 0; run < TIMED_RUNS; run += 1) {
    const full = await runZeros(instance, maxBatchSize);
    if (full === undefined) return { problem: undefined, fullRunNs: undefined };
    if (typeof full !== 'number') {
      if (maxBatchSize <= 1) return { problem: full.message, fullRunNs: undefined };
      throw invalidArgument(
        `the model runs with 1 row but not with max_batch_size ${maxBatchSize}: ${full.message}`,
      );
    }
    fullRunNs = Math.min(fullRunNs, full);
    if (full > NOT_TIMED_ABOVE_NS) break;
  }
  return { problem: undefined, fullRunNs };
}

/**
 * Nanoseconds in the runtime, or why it failed; undefined where it would be too large to try.
 * `rows` 0: a model without batching, whose shapes are taken as they are.
 */
async function runZeros(
  instance: EngineInstance,
  rows: number,
): Promise<StatusError | number | undefined> {
  const shapes = instance.inputs.map(({ shape }) => {
    const closed = shape.map((dim) => Math.max(dim, dim === -1 ? 1 : 0));
    return rows === 0 ? closed : [rows, ...closed.slice(1)];
  });
  const sizes = instance.inputs.map(({ datatype }, input) => {
    const elementBytes = datatype === 'BYTES' ? EMPTY_STRING_BYTES : elementSizeBytes(datatype);
    return elementCount(shapes[input] ?? []) * elementBytes;
  });
  if (sizes.reduce((sum, size) => sum + size, 0) > MAX_WARM_UP_BYTES) return undefined;
  const inputs = instance.inputs.map(({ name, datatype }, input): Tensor => {
    return { name, datatype, shape: shapes[input] ?? [], bytes: new Uint8Array(sizes[input] ?? 0) };
  });
  const outcome = await new Promise<RunOutcome>((resolve) => {
    instance.run({ requests: [{ inputs }], rows }, resolve);
  });
  if (outcome.ok) {
    const problem = rows > 1 ? unsplittable(outcome.outputs, rows) : undefined;
    return problem ?? outcome.runNs;
  }
  if (outcome.hasEnded) throw outcome.error;
  return outcome.error;
}
