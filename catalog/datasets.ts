// What may happen to a data set and its versions. Imports add rows to the one open version; sealing
// fixes it for ever. The row store is the truth about rows and counts, the documents tell of it;
// each step can be repeated after a crash and then completes.
import { Code, failedPrecondition, hasCode } from '../common/status.ts';
import type { Column, DatasetStore, RowCounts } from '../stores/datasets/datasets.ts';
import { type Catalog, type Entry, MAX_UPDATE_ATTEMPTS, versionKey } from './catalog.ts';
import { CATALOG_SCHEMA, type DatasetDoc, type DatasetVersionDoc } from './documents.ts';

export function newDataset(
  name: string,
  dateMs: number,
  given: Partial<Pick<DatasetDoc, 'description' | 'columns' | 'targetColumn'>> = {},
): DatasetDoc {
  return {
    schema: CATALOG_SCHEMA,
    name,
    description: given.description ?? '',
    columns: given.columns ?? [],
    inferredBy: 0,
    targetColumn: given.targetColumn ?? '',
    nextVersion: 1,
    openVersion: 0,
    sealedVersion: 0,
    createdMs: dateMs,
    updatedMs: dateMs,
  };
}

/**
 * Opens the next version unless one is open. `inferred` becomes the schema of a data set that has
 * none.
 * @throws FAILED_PRECONDITION when there is no schema at all.
 */
export function openVersion(
  dataset: DatasetDoc,
  inferred: readonly Column[],
  dateMs: number,
): DatasetDoc {
  if (dataset.openVersion !== 0) return dataset;
  const isDeclared = dataset.columns.length > 0;
  const columns = isDeclared ? dataset.columns : [...inferred];
  if (columns.length === 0) {
    throw failedPrecondition(
      `data set '${dataset.name}' has no columns and none could be inferred`,
    );
  }
  const version = dataset.nextVersion;
  return {
    ...dataset,
    columns,
    inferredBy: isDeclared ? dataset.inferredBy : version,
    openVersion: version,
    nextVersion: version + 1,
    updatedMs: dateMs,
  };
}

/**
 * The version is open no more: sealed, or given up. A schema that was inferred from what was given
 * up is forgotten: it may be as wrong as the file, and the next one would be held to it.
 */
export function closeVersion(
  dataset: DatasetDoc,
  version: number,
  isSealed: boolean,
  dateMs: number,
): DatasetDoc {
  const sealed = isSealed ? Math.max(dataset.sealedVersion, version) : dataset.sealedVersion;
  const open = dataset.openVersion === version ? 0 : dataset.openVersion;
  if (sealed === dataset.sealedVersion && open === dataset.openVersion) return dataset;
  const isForgotten = !isSealed && dataset.inferredBy === version;
  const schema = isForgotten ? { columns: [], inferredBy: 0 } : {};
  return { ...dataset, ...schema, sealedVersion: sealed, openVersion: open, updatedMs: dateMs };
}

/** Counts and end of a version; one that is SEALED or FAILED changes no more. */
export function recordVersion(
  version: DatasetVersionDoc,
  state: DatasetVersionDoc['state'],
  counts: RowCounts,
): DatasetVersionDoc {
  if (version.state === state && state !== 'OPEN') return version;
  if (version.state !== 'OPEN') {
    throw failedPrecondition(
      `version ${version.version} of data set '${version.dataset}' is ${version.state} and ` +
        'changes no more',
    );
  }
  return { ...version, state, accepted: counts.accepted, rejected: counts.rejected };
}

/**
 * The open version's document and its place in the row store, both made when they are not there.
 */
export async function openDatasetVersion(
  catalog: Catalog,
  rows: DatasetStore,
  name: string,
  given: { readonly inferred: readonly Column[]; readonly source: string },
  dateMs: number,
): Promise<Entry<'dataset_version'>> {
  const { doc } = await catalog.update('dataset', name, (dataset) =>
    openVersion(dataset, given.inferred, dateMs),
  );
  const version = doc.openVersion;
  await rows.create(name, version, doc.columns);
  const key = versionKey(name, version);
  const found = await catalog.get('dataset_version', key);
  if (found !== undefined) return found;
  try {
    return await catalog.put(
      'dataset_version',
      key,
      {
        schema: CATALOG_SCHEMA,
        dataset: name,
        version,
        state: 'OPEN',
        columns: doc.columns,
        accepted: 0,
        rejected: 0,
        source: given.source,
        createdMs: dateMs,
      },
      0,
    );
  } catch (error) {
    if (!hasCode(error, Code.ABORTED)) throw error;
    return await catalog.require('dataset_version', key);
  }
}

/** Copies the row store's counts into the version's document. */
export async function recordCounts(
  catalog: Catalog,
  rows: DatasetStore,
  name: string,
  version: number,
): Promise<Entry<'dataset_version'>> {
  const counts = await rows.counts(name, version);
  return await catalog.update('dataset_version', versionKey(name, version), (doc) =>
    recordVersion(doc, 'OPEN', counts),
  );
}

/**
 * Seals a version: in the row store first, then in the catalog.
 * @throws NOT_FOUND, FAILED_PRECONDITION when it has no rows or was given up.
 */
export async function sealDatasetVersion(
  catalog: Catalog,
  rows: DatasetStore,
  name: string,
  version: number,
  dateMs: number,
): Promise<Entry<'dataset_version'>> {
  const key = versionKey(name, version);
  await catalog.require('dataset_version', key);
  const { accepted } = await rows.counts(name, version);
  if (accepted === 0) {
    throw failedPrecondition(`version ${version} of data set '${name}' has no rows to seal`);
  }
  const counts = await rows.seal(name, version);
  const sealed = await catalog.update('dataset_version', key, (doc) =>
    recordVersion(doc, 'SEALED', counts),
  );
  await catalog.update('dataset', name, (doc) => closeVersion(doc, version, true, dateMs));
  return sealed;
}

/**
 * Gives a version up: what it holds stays for people to look at, the next import opens another. One
 * that was not made before a crash or an error leaves nothing.
 */
export async function failDatasetVersion(
  catalog: Catalog,
  rows: DatasetStore,
  name: string,
  version: number,
  dateMs: number,
): Promise<void> {
  const key = versionKey(name, version);
  if ((await catalog.get('dataset_version', key)) !== undefined) {
    const counts = await rows.counts(name, version);
    await catalog.update('dataset_version', key, (doc) => recordVersion(doc, 'FAILED', counts));
  }
  await catalog.update('dataset', name, (doc) => closeVersion(doc, version, false, dateMs));
}

/**
 * Rows first, so that nothing is left that no document names; can be repeated after a crash. What
 * an import opens meanwhile goes too.
 * @throws NOT_FOUND
 */
export async function deleteDataset(
  catalog: Catalog,
  rows: DatasetStore,
  name: string,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const { revision } = await catalog.require('dataset', name);
    for (const { key, doc } of await catalog.all('dataset_version', `${name}/`)) {
      await rows.remove(name, doc.version);
      await catalog.removeAny('dataset_version', key);
    }
    try {
      return await catalog.remove('dataset', name, revision);
    } catch (error) {
      if (!hasCode(error, Code.ABORTED) || attempt >= MAX_UPDATE_ATTEMPTS) throw error;
    }
  }
}
