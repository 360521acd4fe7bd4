// Rows on their way to the training process: numbers as typed arrays, which cross the process
// border as one copy of memory, and texts as they are.
import type { Column, ColumnBatch, Value } from '../../stores/datasets/datasets.ts';

/**
 * FLOAT64, INT64 and BOOL (0, 1) as numbers, NaN where missing; STRING as text, '' where missing.
 */
export type PackedColumn = Float64Array | readonly string[];

export interface PackedBatch {
  readonly rowCount: number;
  readonly columns: readonly PackedColumn[];
}

/** `columns` are those that were scanned, in that order. INT64 past 2^53 is rounded. */
export function packBatch(batch: ColumnBatch, columns: readonly Column[]): PackedBatch {
  return {
    rowCount: batch.rowCount,
    columns: columns.map((column, index) => {
      const values = batch.columns[index] ?? [];
      return column.type === 'STRING' ? packTexts(values) : packNumbers(values);
    }),
  };
}

function packTexts(values: readonly Value[]): string[] {
  return values.map((value) => (value === null ? '' : String(value)));
}

function packNumbers(values: readonly Value[]): Float64Array {
  const packed = new Float64Array(values.length);
  for (let row = 0; row < values.length; row++) {
    const value = values[row];
    packed[row] = value === null || value === undefined ? Number.NaN : Number(value);
  }
  return packed;
}
