// Which columns of a data set a training job reads, and why it can't: asked when the job is made,
// for a quick answer, and again when it runs, of the version that it then reads.
import { shownName } from '../common/names.ts';
import { invalidArgument } from '../common/status.ts';
import type { Column } from '../stores/datasets/datasets.ts';
import type { TrainSpec } from './documents.ts';

/** Columns that are named in a message, at most. */
const MAX_NAMED_COLUMNS = 20;
export interface TrainingColumns {
  /** In the order asked for; all but the target, in the data set's order, when none were named. */
  readonly features: readonly Column[];
  readonly target: Column;
}

/** @throws INVALID_ARGUMENT naming the field, what is wrong, and the columns that there are. */
export function trainingColumns(
  columns: readonly Column[],
  spec: Pick<TrainSpec, 'dataset' | 'target' | 'features' | 'imageShape'>,
): TrainingColumns {
  const byName = new Map(columns.map((column) => [column.name, column]));
  const find = (field: string, name: string): Column => {
    const column = byName.get(name);
    if (column !== undefined) return column;
    const names = columns.slice(0, MAX_NAMED_COLUMNS).map((known) => known.name);
    const more = columns.length > names.length ? ', ...' : '';
    throw invalidArgument(
      `${field} '${shownName(name)}' is no column of data set ` +
        `'${spec.dataset}', which has: ${names.join(', ')}${more}`,
    );
  };
  const target = find('target_column', spec.target);
  const names =
    spec.features.length === 0
      ? columns.map(({ name }) => name).filter((name) => name !== spec.target)
      : spec.features;
  if (names.includes(spec.target)) {
    throw invalidArgument(`target_column '${spec.target}' can't be one of feature_columns too`);
  }
  if (names.length === 0) {
    throw invalidArgument(`data set '${spec.dataset}' has no column but the target to learn from`);
  }
  const features = names.map((name) => find('feature_columns:', name));
  if (new Set(names).size < names.length) {
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    throw invalidArgument(`feature_columns: '${twice}' is named twice`);
  }
  checkImage(spec.imageShape, features.length);
  return { features, target };
}

function checkImage(imageShape: readonly number[] | undefined, featureCount: number): void {
  if (imageShape === undefined) return;
  const valueCount = imageShape.reduce((product, size) => product * size, 1);
  if (valueCount === featureCount) return;
  throw invalidArgument(
    `image_shape ${imageShape.join(' x ')} has ${valueCount} values, but there are ` +
      `${featureCount} feature columns`,
  );
}
