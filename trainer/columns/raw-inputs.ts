// Rows as a client would send them to the exported model: raw columns, NaN or '' where missing. The
// trainer checks its export with them.
import type { TensorSpec } from '../../common/tensor.ts';
import type { FeaturePlan } from './features.ts';
import type { Table } from './table.ts';

/** The one input of a model whose features are all numeric. */
export const MATRIX_INPUT = 'features';

/** Inputs of the exported model; -1 is the batch. */
export function inputSpecs(plan: FeaturePlan): TensorSpec[] {
  if (plan.form === 'matrix') {
    return [{ name: MATRIX_INPUT, datatype: 'FP32', shape: [-1, plan.features.length] }];
  }
  return plan.features.map((feature) => ({
    name: feature.name,
    datatype: feature.kind === 'numeric' ? ('FP32' as const) : ('BYTES' as const),
    shape: [-1, 1],
  }));
}

/** By input name; row major. */
export function rawInputs(
  table: Table,
  plan: FeaturePlan,
  rows: Int32Array,
): Map<string, Float32Array | string[]> {
  const columns = table.features.map((column) => {
    if (column.kind === 'texts') {
      return Array.from(rows, (row) => column.texts[column.codes[row] ?? -1] ?? '');
    }
    if (column.column.type === 'BOOL') {
      return Array.from(rows, (row) => boolText(column.values[row] ?? Number.NaN));
    }
    return Float32Array.from(rows, (row) => column.values[row] ?? Number.NaN);
  });
  if (plan.form === 'columns') {
    return new Map(plan.features.map(({ name }, index) => [name, columns[index] ?? []]));
  }
  const matrix = new Float32Array(rows.length * columns.length);
  for (const [index, column] of columns.entries()) {
    for (let row = 0; row < rows.length; row++) {
      matrix[row * columns.length + index] = Number(column[row]);
    }
  }
  return new Map([[MATRIX_INPUT, matrix]]);
}

function boolText(value: number): string {
  return Number.isNaN(value) ? '' : value === 0 ? 'false' : 'true';
}
