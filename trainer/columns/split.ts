// Which rows train and which are held out to evaluate on: by seed, so that a job run again takes
// the same ones, and with the same share of every class.
import { failedPrecondition } from '../../common/status.ts';
import { createRandom, shuffle } from '../random.ts';

/** Fewer rows in a data set version: FAILED_PRECONDITION, nothing sensible can be learned. */
export const MIN_ROWS = 10;

/** Row numbers from 0 in the order of the scan, ascending; together every row once. */
export interface Split {
  readonly train: Int32Array;
  readonly heldOut: Int32Array;
}

/** @throws FAILED_PRECONDITION when there are too few rows. */
export function checkRowCount(rowCount: number): void {
  if (rowCount >= MIN_ROWS) return;
  throw failedPrecondition(
    `the data set has ${rowCount} rows: training needs at least ${MIN_ROWS}`,
  );
}

/**
 * At least one row is held out, and at least one of each stratum is trained on.
 * @param strata the class of each row; absent: one stratum.
 */
export function splitRows(
  rowCount: number,
  heldOutRatio: number,
  seed: number,
  strata?: Int32Array,
): Split {
  checkRowCount(rowCount);
  const random = createRandom(seed);
  const groups = groupRows(rowCount, strata).map((rows) => shuffle(rows, random));
  const counts: number[] = groups.map((rows) =>
    Math.min(rows.length - 1, Math.round(rows.length * heldOutRatio)),
  );
  if (!counts.some((count) => count > 0)) {
    // Every class is too small for its share: the largest gives one row.
    const sizes = groups.map((rows) => rows.length);
    counts[sizes.indexOf(Math.max(...sizes))] = 1;
  }
  const heldOut = groups.flatMap((rows, index) => [...rows.subarray(0, counts[index])]);
  const train = groups.flatMap((rows, index) => [...rows.subarray(counts[index])]);
  return { train: Int32Array.from(train).sort(), heldOut: Int32Array.from(heldOut).sort() };
}

function groupRows(rowCount: number, strata: Int32Array | undefined): Int32Array[] {
  const groups = new Map<number, number[]>();
  for (let row = 0; row < rowCount; row++) {
    const stratum = strata?.[row] ?? 0;
    const group = groups.get(stratum);
    if (group === undefined) groups.set(stratum, [row]);
    else group.push(row);
  }
  return [...groups.entries()].sort(([a], [b]) => a - b).map(([, rows]) => Int32Array.from(rows));
}
