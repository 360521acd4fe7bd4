// Gives each request of a batch its own rows of the outputs: views, in the order in which the
// inputs were gathered.
import { Code, StatusError } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';

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

/** Hands out the outputs from the first row on. */
export class Scatter {
  readonly #outputs: readonly Tensor[];
  readonly #rows: number;
  /** Where each output's next row begins. */
  readonly #at: number[];

  /** `outputs` are splittable by `rows`. */
  constructor(outputs: readonly Tensor[], rows: number) {
    this.#outputs = outputs;
    this.#rows = rows;
    this.#at = outputs.map(() => 0);
  }

  next(rows: number): readonly Tensor[] {
    if (rows === this.#rows) return this.#outputs;
    return this.#outputs.map((output, index) => {
      const start = this.#at[index] ?? 0;
      const end = start + this.#sizeOf(output, start, rows);
      this.#at[index] = end;
      const { name, datatype, shape, bytes } = output;
      return {
        name,
        datatype,
        shape: [rows, ...shape.slice(1)],
        bytes: bytes.subarray(start, end),
      };
    });
  }

  #sizeOf(output: Tensor, start: number, rows: number): number {
    const { datatype, shape, bytes } = output;
    if (datatype !== 'BYTES') return (bytes.length / this.#rows) * rows;
    let elements = rows;
    for (let i = 1; i < shape.length; i++) elements *= shape[i] ?? 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = start;
    for (let i = 0; i < elements; i++) at += 4 + view.getUint32(at, true);
    return at - start;
  }
}
