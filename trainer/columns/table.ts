// The rows that a job trains on, gathered column by column in the memory of the training process:
// numbers as FP32, which is what the served model will get too, and texts as codes of a dictionary.
import { Code, failedPrecondition, invalidArgument, StatusError } from '../../common/status.ts';
import type { Column } from '../../stores/datasets/datasets.ts';
import type { PackedBatch, PackedColumn } from './packed.ts';

/** Rows times columns held in memory (4 bytes each). More: RESOURCE_EXHAUSTED, the job fails. */
export const MAX_TABLE_VALUES = 256 * 1024 * 1024;
/** Different texts in a column. More: FAILED_PRECONDITION, for one-hot columns or classes. */
export const MAX_CATEGORIES = 1_000;
/** Of a column's different texts together: they go into the model. More: FAILED_PRECONDITION. */
export const MAX_CATEGORY_CHARACTERS = 4 * 1024 * 1024;

export interface NumberColumn {
  readonly kind: 'numbers';
  readonly column: Column;
  /** NaN where missing; BOOL as 0 and 1. FP32, but FP64 for the target. */
  readonly values: Float32Array | Float64Array;
}

export interface TextColumn {
  readonly kind: 'texts';
  readonly column: Column;
  /** Index into texts; -1 where missing. */
  readonly codes: Int32Array;
  /** In the order of their first coming. */
  readonly texts: readonly string[];
}

export type TableColumn = NumberColumn | TextColumn;

export interface Table {
  readonly rowCount: number;
  readonly features: readonly TableColumn[];
  readonly target: TableColumn;
}

/** Gathers batches whose columns are the features in their order, then the target. */
export class TableBuilder {
  readonly #columns: ColumnBuilder[];
  readonly #maxValues: number;
  #rowCount = 0;

  constructor(features: readonly Column[], target: Column, maxValues = MAX_TABLE_VALUES) {
    this.#columns = [
      ...features.map((column) => new ColumnBuilder(column, false)),
      new ColumnBuilder(target, true),
    ];
    this.#maxValues = maxValues;
  }

  /**
   * @throws RESOURCE_EXHAUSTED, FAILED_PRECONDITION, INVALID_ARGUMENT: what cannot be trained on.
   */
  add(batch: PackedBatch): void {
    this.#rowCount += batch.rowCount;
    if (this.#rowCount * this.#columns.length > this.#maxValues) {
      throw new StatusError(
        Code.RESOURCE_EXHAUSTED,
        `the data set is too large to train on in memory: ${this.#columns.length} columns allow ` +
          `${Math.floor(this.#maxValues / this.#columns.length)} rows; use fewer features`,
      );
    }
    for (const [index, builder] of this.#columns.entries()) {
      const packed = batch.columns[index];
      if (packed === undefined || packed.length !== batch.rowCount) {
        throw new StatusError(Code.INTERNAL, `a batch lacks values of '${builder.column.name}'`);
      }
      builder.add(packed);
    }
  }

  finish(): Table {
    const columns = this.#columns.map((builder) => builder.finish(this.#rowCount));
    const target = columns.pop();
    if (target === undefined) throw new StatusError(Code.INTERNAL, 'a table without a target');
    return { rowCount: this.#rowCount, features: columns, target };
  }
}

class ColumnBuilder {
  readonly column: Column;
  readonly #isTarget: boolean;
  readonly #codes = new Map<string, number>();
  #codeCharacters = 0;
  #chunks: (Float32Array | Float64Array | Int32Array)[] = [];

  constructor(column: Column, isTarget: boolean) {
    this.column = column;
    this.#isTarget = isTarget;
  }

  add(packed: PackedColumn): void {
    this.#chunks.push(packed instanceof Float64Array ? this.#numbers(packed) : this.#texts(packed));
  }

  #numbers(packed: Float64Array): Float32Array | Float64Array {
    const singles = new Float32Array(packed);
    for (let row = 0; row < packed.length; row++) {
      if (!Number.isFinite(singles[row]) && !Number.isNaN(packed[row])) {
        throw invalidArgument(
          `column '${this.column.name}' holds ${packed[row]}, which is beyond FP32 (3.4e38): ` +
            'scale the column or leave it out',
        );
      }
    }
    return this.#isTarget ? packed : singles;
  }

  #texts(texts: readonly string[]): Int32Array {
    const codes = new Int32Array(texts.length);
    for (let row = 0; row < texts.length; row++) codes[row] = this.#code(texts[row] ?? '');
    return codes;
  }

  #code(text: string): number {
    if (text === '') return -1;
    const known = this.#codes.get(text);
    if (known !== undefined) return known;
    this.#codeCharacters += text.length;
    if (this.#codes.size >= MAX_CATEGORIES) {
      throw this.#tooMuch(`more than ${MAX_CATEGORIES} different texts`, 'too many classes');
    }
    if (this.#codeCharacters > MAX_CATEGORY_CHARACTERS) {
      const what = `different texts of more than ${MAX_CATEGORY_CHARACTERS} characters together`;
      throw this.#tooMuch(what, 'give the classes short names');
    }
    this.#codes.set(text, this.#codes.size);
    return this.#codes.size - 1;
  }

  #tooMuch(what: string, ofTarget: string): StatusError {
    const advice = this.#isTarget ? ofTarget : 'leave it out of the features';
    return failedPrecondition(`column '${this.column.name}' has ${what}: ${advice}`);
  }

  finish(rowCount: number): TableColumn {
    const { column } = this;
    if (column.type === 'STRING') {
      const codes = join(this.#chunks, new Int32Array(rowCount));
      this.#chunks = [];
      return { kind: 'texts', column, codes, texts: [...this.#codes.keys()] };
    }
    const values = this.#isTarget ? new Float64Array(rowCount) : new Float32Array(rowCount);
    join(this.#chunks, values);
    this.#chunks = [];
    return { kind: 'numbers', column, values };
  }
}

function join<T extends Float32Array | Float64Array | Int32Array>(
  chunks: readonly (Float32Array | Float64Array | Int32Array)[],
  whole: T,
): T {
  let row = 0;
  for (const chunk of chunks) {
    whole.set(chunk, row);
    row += chunk.length;
  }
  return whole;
}
