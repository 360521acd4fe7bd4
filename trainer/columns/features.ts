// How columns become the numbers that a network sees. The plan is made on the training rows only;
// the exported graph holds the same steps, so that a client sends raw columns. All arithmetic is
// FP32, rounded after each step as the graph does it: encoded rows are the same bits here and
// there.
import { Code, failedPrecondition, StatusError } from '../../common/status.ts';
import type { NumberColumn, Table, TableColumn, TextColumn } from './table.ts';

/** Columns after one-hot encoding. More: FAILED_PRECONDITION. */
export const MAX_FEATURE_WIDTH = 65_536;
/** Features of mixed kinds are an input of the model each. More: FAILED_PRECONDITION. */
export const MAX_COLUMN_INPUTS = 1_000;
/** Memory of the encoded rows. More: RESOURCE_EXHAUSTED. */
export const MAX_MATRIX_BYTES = 1024 * 1024 * 1024;

/** Encoded as (value, or mean where missing) - mean, times scale. */
export interface NumericFeature {
  readonly kind: 'numeric';
  readonly name: string;
  readonly mean: number;
  /** 1 / standard deviation; 1 for a column that does not vary. */
  readonly scale: number;
  /** Whether the served model takes NaN for a missing value. */
  readonly isNullable: boolean;
}

/** Encoded one-hot; missing as the most frequent category, an unknown one as zeros. */
export interface CategoryFeature {
  readonly kind: 'category';
  readonly name: string;
  /** Sorted; 'false' and 'true' for BOOL. */
  readonly categories: readonly string[];
  /** Index into categories. */
  readonly mostFrequent: number;
}

export type Feature = NumericFeature | CategoryFeature;

export interface FeaturePlan {
  /** In the order of the table's features. */
  readonly features: readonly Feature[];
  /** 'matrix': one input with all features, all numeric. 'columns': one input a feature. */
  readonly form: 'matrix' | 'columns';
  /** Encoded numbers a row: those of the numeric features first, then the categories' blocks. */
  readonly width: number;
}

export interface PlanOptions {
  /** One mean and scale for all: pixels of an image. */
  readonly sharesScale: boolean;
}

/** @throws FAILED_PRECONDITION when there is nothing to learn from, naming the feature at fault. */
export function planFeatures(
  table: Table,
  trainRows: Int32Array,
  options: PlanOptions = { sharesScale: false },
): FeaturePlan {
  const form = table.features.every(fitsMatrix) ? 'matrix' : 'columns';
  if (form === 'columns' && table.features.length > MAX_COLUMN_INPUTS) {
    throw failedPrecondition(
      `${table.features.length} features that are not all numbers without gaps would be an input ` +
        `each, more than ${MAX_COLUMN_INPUTS}: use fewer, or only numbers with none missing`,
    );
  }
  const shared = options.sharesScale ? momentsOf(table.features, trainRows) : undefined;
  const features = table.features.map((column) =>
    isNumeric(column)
      ? planNumeric(column, trainRows, shared)
      : planCategory(asTexts(column), trainRows),
  );
  if (!table.features.some((column) => varies(column, trainRows))) {
    throw failedPrecondition(
      'none of the features varies over the training rows: nothing to learn from',
    );
  }
  const width = features.reduce((sum, feature) => sum + widthOf(feature), 0);
  if (width > MAX_FEATURE_WIDTH) {
    throw failedPrecondition(
      `the features encode to ${width} columns, more than ${MAX_FEATURE_WIDTH}: use fewer, or ` +
        'leave out text columns with many different values',
    );
  }
  return { features, form, width };
}

/** Whether two rows differ, be it in that one lacks a value. */
function varies(column: TableColumn, rows: Int32Array): boolean {
  const values = column.kind === 'texts' ? column.codes : column.values;
  const first = values[rows[0] ?? 0];
  return rows.some((row) => !Object.is(values[row], first));
}

/** How many encoded numbers a feature takes. */
function widthOf(feature: Feature): number {
  return feature.kind === 'numeric' ? 1 : feature.categories.length;
}

/**
 * A column that was inferred from a file is nullable without having a null: what counts is whether
 * a value is missing, so that plain numeric data gets the one input that clients expect.
 */
function fitsMatrix(column: TableColumn): boolean {
  return isNumeric(column) && !column.values.some(Number.isNaN);
}

function isNumeric(column: TableColumn): column is NumberColumn {
  return column.kind === 'numbers' && column.column.type !== 'BOOL';
}

interface Moments {
  readonly count: number;
  readonly mean: number;
  readonly scale: number;
}

/** Below it a column counts as constant: its scale would overflow FP32. */
const MIN_DEVIATION = 1e-30;

function momentsOf(columns: readonly TableColumn[], rows: Int32Array): Moments {
  let count = 0;
  let sum = 0;
  for (const value of presentValues(columns, rows)) {
    count += 1;
    sum += value;
  }
  const mean = count === 0 ? 0 : sum / count;
  let squares = 0;
  for (const value of presentValues(columns, rows)) squares += (value - mean) ** 2;
  const deviation = count === 0 ? 0 : Math.sqrt(squares / count);
  const scale = deviation < MIN_DEVIATION ? 1 : Math.fround(1 / deviation);
  return { count, mean: Math.fround(mean), scale };
}

function* presentValues(columns: readonly TableColumn[], rows: Int32Array): Generator<number> {
  for (const column of columns) {
    if (column.kind !== 'numbers') continue;
    for (const row of rows) {
      const value = column.values[row] ?? Number.NaN;
      if (!Number.isNaN(value)) yield value;
    }
  }
}

function planNumeric(
  column: NumberColumn,
  rows: Int32Array,
  shared: Moments | undefined,
): NumericFeature {
  const { name, isNullable } = column.column;
  const { count, mean, scale } = shared ?? momentsOf([column], rows);
  if (count === 0) throw noValues(name);
  return { kind: 'numeric', name, mean, scale, isNullable };
}

function planCategory(column: TextColumn, rows: Int32Array): CategoryFeature {
  const counts = new Map<number, number>();
  for (const row of rows) {
    const code = column.codes[row] ?? -1;
    if (code >= 0) counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  if (counts.size === 0) throw noValues(column.column.name);
  const found = [...counts].map(([code, count]) => ({ text: column.texts[code] ?? '', count }));
  found.sort((a, b) => (a.text < b.text ? -1 : 1));
  const most = Math.max(...found.map((category) => category.count));
  return {
    kind: 'category',
    name: column.column.name,
    categories: found.map((category) => category.text),
    mostFrequent: found.findIndex((category) => category.count === most),
  };
}

function noValues(name: string): StatusError {
  return failedPrecondition(
    `feature '${name}' has no value in any training row: leave it out of the features`,
  );
}

/** A BOOL column as the texts 'false' and 'true'. */
function asTexts(column: TableColumn): TextColumn {
  if (column.kind === 'texts') return column;
  const codes = Int32Array.from(column.values, (value) => (Number.isNaN(value) ? -1 : value));
  return { kind: 'texts', column: column.column, codes, texts: ['false', 'true'] };
}

/** Row major, rows.length x plan.width. @throws RESOURCE_EXHAUSTED past MAX_MATRIX_BYTES. */
export function encodeRows(table: Table, plan: FeaturePlan, rows: Int32Array): Float32Array {
  const sizeBytes = rows.length * plan.width * Float32Array.BYTES_PER_ELEMENT;
  if (sizeBytes > MAX_MATRIX_BYTES) {
    throw new StatusError(
      Code.RESOURCE_EXHAUSTED,
      `${rows.length} rows of ${plan.width} encoded features take ${sizeBytes} bytes, more than ` +
        `${MAX_MATRIX_BYTES}: use fewer features or rows`,
    );
  }
  const matrix = new Float32Array(rows.length * plan.width);
  let numeric = 0;
  let block = plan.features.filter((feature) => feature.kind === 'numeric').length;
  for (const [index, feature] of plan.features.entries()) {
    const column = table.features[index];
    if (column === undefined) throw new StatusError(Code.INTERNAL, 'plan of another table');
    if (feature.kind === 'numeric') {
      if (column.kind === 'numbers') {
        encodeNumeric(column, feature, rows, { matrix, width: plan.width, first: numeric });
      }
      numeric += 1;
    } else {
      encodeCategory(asTexts(column), feature, rows, { matrix, width: plan.width, first: block });
      block += feature.categories.length;
    }
  }
  return matrix;
}

interface Place {
  readonly matrix: Float32Array;
  readonly width: number;
  /** Offset of the feature's numbers in a row. */
  readonly first: number;
}

function encodeNumeric(
  column: NumberColumn,
  feature: NumericFeature,
  rows: Int32Array,
  place: Place,
): void {
  for (let index = 0; index < rows.length; index++) {
    const value = column.values[rows[index] ?? 0] ?? Number.NaN;
    const centred = Number.isNaN(value) ? 0 : Math.fround(value - feature.mean);
    place.matrix[index * place.width + place.first] = centred * feature.scale;
  }
}

function encodeCategory(
  column: TextColumn,
  feature: CategoryFeature,
  rows: Int32Array,
  place: Place,
): void {
  const slots = column.texts.map((text) => feature.categories.indexOf(text));
  for (let index = 0; index < rows.length; index++) {
    const code = column.codes[rows[index] ?? 0] ?? -1;
    const slot = code < 0 ? feature.mostFrequent : (slots[code] ?? -1);
    if (slot >= 0) place.matrix[index * place.width + place.first + slot] = 1;
  }
}
