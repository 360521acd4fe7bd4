// From what a job asks for to what exactly is trained on: which version of the data set, and which
// of its columns. Reads the catalog, changes nothing.
import { type Catalog, versionKey } from '../catalog/catalog.ts';
import type { TrainSpec } from '../catalog/documents.ts';
import { failedPrecondition, invalidArgument } from '../common/status.ts';
import type { Column } from '../stores/datasets/datasets.ts';

/** Columns that are named in a message, at most. */
const MAX_NAMED_COLUMNS = 20;

export interface TrainingData {
  readonly dataset: string;
  /** A sealed one: it changes no more. */
  readonly version: number;
  readonly rowCount: number;
  readonly features: readonly Column[];
  readonly target: Column;
}

/**
 * @throws NOT_FOUND for the data set or version, FAILED_PRECONDITION when it is not sealed,
 *   INVALID_ARGUMENT for columns that are not there.
 */
export async function resolveData(catalog: Catalog, spec: TrainSpec): Promise<TrainingData> {
  const { dataset } = spec;
  const { doc } = await catalog.require('dataset', dataset);
  const version = spec.datasetVersion === 0 ? doc.sealedVersion : spec.datasetVersion;
  if (version === 0) {
    throw failedPrecondition(
      `data set '${dataset}' has no sealed version: seal one, then train on it`,
    );
  }
  const entry = await catalog.require('dataset_version', versionKey(dataset, version));
  if (entry.doc.state !== 'SEALED') {
    throw failedPrecondition(
      `version ${version} of data set '${dataset}' is ${entry.doc.state}: only a SEALED one, ` +
        'which changes no more, can be trained on',
    );
  }
  const columns = chooseColumns(entry.doc.columns, spec);
  return { dataset, version, rowCount: entry.doc.accepted, ...columns };
}

/** @throws INVALID_ARGUMENT naming the column and those that there are. */
export function chooseColumns(
  columns: readonly Column[],
  spec: Pick<TrainSpec, 'dataset' | 'target' | 'features'>,
): { readonly features: readonly Column[]; readonly target: Column } {
  const byName = new Map(columns.map((column) => [column.name, column]));
  const find = (kind: string, name: string): Column => {
    const column = byName.get(name);
    if (column !== undefined) return column;
    const names = columns.slice(0, MAX_NAMED_COLUMNS).map((known) => known.name);
    const more = columns.length > names.length ? ', ...' : '';
    throw invalidArgument(
      `${kind} '${name}' is no column of data set '${spec.dataset}', which has: ` +
        `${names.join(', ')}${more}`,
    );
  };
  const target = find('target', spec.target);
  const names =
    spec.features.length === 0
      ? columns.map(({ name }) => name).filter((name) => name !== spec.target)
      : spec.features;
  if (names.includes(spec.target)) {
    throw invalidArgument(`target '${spec.target}' can't be a feature too: leave it out of those`);
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalidArgument(`feature '${twice}' is named twice`);
  if (names.length === 0) {
    throw invalidArgument(`data set '${spec.dataset}' has no column but the target to learn from`);
  }
  return { features: names.map((name) => find('feature', name)), target };
}
