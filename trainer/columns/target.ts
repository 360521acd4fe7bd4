// What a model is to tell: classes or a number. The rules by which a target cannot be learned are
// here, so that such a job fails with the reason before anything is computed.
import { failedPrecondition, invalidArgument } from '../../common/status.ts';
import { checkRowCount } from './split.ts';
import { MAX_CATEGORIES, type Table, type TableColumn } from './table.ts';

/** A whole-number target with at most so many different values is classified unless told. */
export const MAX_INFERRED_CLASSES = 20;

export type Task = 'classification' | 'regression';

export interface ClassTarget {
  readonly task: 'classification';
  /** BYTES for texts, INT64 for whole numbers and BOOL (0, 1). */
  readonly labelType: 'BYTES' | 'INT64';
  /** In ascending order; numbers in decimal. */
  readonly classes: readonly string[];
  /** Class index of every row. */
  readonly classOf: Int32Array;
}

export interface NumberTarget {
  readonly task: 'regression';
  readonly values: Float64Array;
}

export type Target = ClassTarget | NumberTarget;

/** @throws FAILED_PRECONDITION or INVALID_ARGUMENT saying why it cannot be learned. */
export function planTarget(table: Table, task: Task | undefined): Target {
  const { target } = table;
  checkRowCount(table.rowCount);
  checkPresent(target, table.rowCount);
  const chosen = task ?? inferTask(target);
  const plan =
    chosen === 'regression'
      ? numberTarget(target)
      : target.kind === 'texts'
        ? textClasses(target.texts, target.codes)
        : numberClasses(target.column.name, target.values);
  if (plan.task === 'classification') checkClasses(plan, target.column.name, table.rowCount);
  return plan;
}

function checkPresent(target: TableColumn, rowCount: number): void {
  const missing =
    target.kind === 'texts'
      ? target.codes.filter((code) => code < 0).length
      : target.values.filter(Number.isNaN).length;
  if (missing === 0) return;
  throw failedPrecondition(
    `target '${target.column.name}' is missing in ${missing} of ${rowCount} rows: every row ` +
      'needs a value to learn from',
  );
}

function inferTask(target: TableColumn): Task {
  if (target.kind === 'texts' || target.column.type === 'BOOL') return 'classification';
  if (target.column.type === 'FLOAT64') return 'regression';
  const isFew = new Set(target.values).size <= MAX_INFERRED_CLASSES;
  return isFew ? 'classification' : 'regression';
}

function numberTarget(target: TableColumn): NumberTarget {
  const { name, type } = target.column;
  if (target.kind === 'texts' || type === 'BOOL') {
    throw invalidArgument(
      `target '${name}' is ${type}: regression needs FLOAT64 or INT64; use classification`,
    );
  }
  const values = Float64Array.from(target.values);
  const first = values[0];
  if (values.every((value) => value === first)) {
    throw failedPrecondition(`target '${name}' is ${first} in every row: nothing to learn`);
  }
  const beyond = values.find((value) => !Number.isFinite(Math.fround(value)));
  if (beyond !== undefined) {
    throw invalidArgument(`target '${name}' holds ${beyond}, which is beyond FP32 (3.4e38)`);
  }
  return { task: 'regression', values };
}

function textClasses(texts: readonly string[], codes: Int32Array): ClassTarget {
  const classes = [...texts].sort();
  const order = texts.map((text) => classes.indexOf(text));
  const classOf = codes.map((code) => order[code] ?? 0);
  return { task: 'classification', labelType: 'BYTES', classes, classOf };
}

function numberClasses(name: string, values: Float32Array | Float64Array): ClassTarget {
  const distinct = new Set<number>();
  for (const value of values) {
    if (!Number.isSafeInteger(value)) {
      throw invalidArgument(
        `target '${name}' holds ${value}: classification needs texts, BOOL, or whole numbers ` +
          'within 2^53; use regression',
      );
    }
    distinct.add(value);
    if (distinct.size > MAX_CATEGORIES) {
      throw failedPrecondition(
        `target '${name}' has more than ${MAX_CATEGORIES} different values: too many classes; ` +
          'use regression',
      );
    }
  }
  const sorted = [...distinct].sort((a, b) => a - b);
  const indices = new Map(sorted.map((value, index) => [value, index]));
  const classOf = Int32Array.from(values, (value) => indices.get(value) ?? 0);
  return { task: 'classification', labelType: 'INT64', classes: sorted.map(String), classOf };
}

function checkClasses(plan: ClassTarget, name: string, rowCount: number): void {
  const count = plan.classes.length;
  if (count < 2) {
    throw failedPrecondition(
      `target '${name}' has one class, '${plan.classes[0]}': classification needs at least two`,
    );
  }
  if (rowCount < 2 * count) {
    throw failedPrecondition(
      `target '${name}' has ${count} classes in ${rowCount} rows: too few rows of each to learn`,
    );
  }
}

/** Mean and standard deviation over the training rows, in which a regression is learned. */
export interface TargetScale {
  readonly mean: number;
  readonly deviation: number;
}

/**
 * FP32 both, as the graph holds them. @throws FAILED_PRECONDITION when constant over those rows.
 */
export function scaleTarget(name: string, target: NumberTarget, rows: Int32Array): TargetScale {
  let sum = 0;
  for (const row of rows) sum += target.values[row] ?? 0;
  const mean = sum / rows.length;
  let squares = 0;
  for (const row of rows) squares += ((target.values[row] ?? 0) - mean) ** 2;
  const deviation = Math.fround(Math.sqrt(squares / rows.length));
  if (deviation === 0 || !Number.isFinite(deviation)) {
    throw failedPrecondition(
      `target '${name}' does not vary over the training rows as FP32 sees it: nothing to learn`,
    );
  }
  return { mean: Math.fround(mean), deviation };
}
