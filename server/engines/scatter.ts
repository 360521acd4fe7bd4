// Gives each request of a batch its own rows of the outputs: views, in the order in which the
// inputs were gathered.
import { Code, StatusError } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import type { RowOutputs, RunTimings } from '../loaded-model.ts';

/** Why outputs can't be told apart by row; undefined when they can. */
export function unsplittable(outputs: readonly Tensor[], rows: number): StatusError | undefined {
  const wrong = outputs.find(({ shape }) => shape[0] !== rows);
  if (wrong === undefined) return undefined;
  return new StatusError(
    Code.INTERNAL,
    `output '${wrong.name}' has shape [${wrong.shape.join(',')}] for a batch of ${rows} rows, so ` +
      'its rows can not be given to their requests: serve the model with max_batch_size 0',
  );
}

/** What of a request is looked at. */
export interface Taker {
  readonly rows: number;
  readonly arrivedMs: number;
}

/**
 * The outputs of a run, as one request after the other sees them: `take` moves on to the next. One
 * object for the whole batch; nothing is made for a request that does not ask for `tensors`.
 */
export class Scatter implements RowOutputs {
  readonly whole: readonly Tensor[];
  readonly timings: RunTimings;
  rows = 0;
  readonly #startedMs: number;
  #taker: Taker | undefined;
  readonly #allRows: number;
  readonly #starts: number[];
  readonly #ends: number[];
  /** Bytes of a row; -1 where rows differ. */
  readonly #rowBytes: readonly number[];

  /**
   * `whole` is splittable by the rows of the timings, or is taken whole; the batch closed at
   * `startedMs`.
   */
  constructor(whole: readonly Tensor[], timings: RunTimings, startedMs: number) {
    this.whole = whole;
    this.timings = timings;
    this.#startedMs = startedMs;
    this.#allRows = timings.batchRows;
    this.#starts = whole.map(() => 0);
    this.#ends = whole.map(() => 0);
    this.#rowBytes = whole.map(({ datatype, bytes }) =>
      datatype === 'BYTES' ? -1 : bytes.length / this.#allRows,
    );
  }

  /** The request whose turn it is. */
  take(taker: Taker): void {
    const { rows } = taker;
    this.rows = rows;
    this.#taker = taker;
    for (let i = 0; i < this.whole.length; i += 1) {
      const start = this.#ends[i] ?? 0;
      this.#starts[i] = start;
      this.#ends[i] = start + this.#sizeOf(i, start, rows);
    }
  }

  /** Hardly anyone asks; a number that is no integer costs an object each time it is handed on. */
  get queueNs(): number {
    return this.#taker === undefined ? 0 : (this.#startedMs - this.#taker.arrivedMs) * 1e6;
  }

  start(index: number): number {
    return this.#starts[index] ?? 0;
  }

  end(index: number): number {
    return this.#ends[index] ?? 0;
  }

  tensors(): readonly Tensor[] {
    const { rows, whole } = this;
    if (rows === this.#allRows) return whole;
    return whole.map(({ name, datatype, shape, bytes }, i) => ({
      name,
      datatype,
      shape: [rows, ...shape.slice(1)],
      bytes: bytes.subarray(this.#starts[i], this.#ends[i]),
    }));
  }

  #sizeOf(index: number, start: number, rows: number): number {
    const rowBytes = this.#rowBytes[index] ?? 0;
    if (rows === this.#allRows) return this.whole[index]?.bytes.length ?? 0;
    if (rowBytes >= 0) return rowBytes * rows;
    const { shape, bytes } = this.whole[index] ?? { shape: [], bytes: NOTHING };
    let elements = rows;
    for (let i = 1; i < shape.length; i++) elements *= shape[i] ?? 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = start;
    for (let i = 0; i < elements; i++) at += 4 + view.getUint32(at, true);
    return at - start;
  }
}

const NOTHING = new Uint8Array(0);
