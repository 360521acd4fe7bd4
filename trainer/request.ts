// From what a job asks for to what exactly is trained on: which version of the data set, and which
// of its columns. Reads the catalog, changes nothing.
import { type Catalog, versionKey } from '../catalog/catalog.ts';
import type { TrainSpec } from '../catalog/documents.ts';
import { type TrainingColumns, trainingColumns } from '../catalog/training-columns.ts';
import { failedPrecondition } from '../common/status.ts';

export interface TrainingData extends TrainingColumns {
  readonly dataset: string;
  /** A sealed one: it changes no more. */
  readonly version: number;
  readonly rowCount: number;
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
  const columns = trainingColumns(entry.doc.columns, spec);
  return { dataset, version, rowCount: entry.doc.accepted, ...columns };
}
