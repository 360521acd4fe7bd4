// How a model version comes into the catalog: a number is reserved, the manifest (which carries the
// number) is stored as a blob by the caller, then the version document is written once. A job's
// number is fixed in the job's document first, so a job that is tried again, or two workers that
// both think it theirs, publish one version between them.
import { Code, hasCode, StatusError } from '../common/status.ts';
import { type Catalog, type Entry, versionKey } from './catalog.ts';
import { CATALOG_SCHEMA, type JobDoc, type VersionDoc } from './documents.ts';
import { checkClaim, type JobClaim, reserveJobVersion } from './jobs.ts';
import { newModel, promote, takeVersionNumber } from './models.ts';

/** The model's document, made with the default policy when it is not there. */
export async function ensureModel(
  catalog: Catalog,
  name: string,
  dateMs: number,
): Promise<Entry<'model'>> {
  const found = await catalog.get('model', name);
  if (found !== undefined) return found;
  try {
    return await catalog.create('model', name, newModel(name, dateMs));
  } catch (error) {
    if (!hasCode(error, Code.ALREADY_EXISTS)) throw error;
    return await catalog.require('model', name);
  }
}

export interface Reservation {
  readonly model: string;
  /** The number wanted; 0: the next free one. */
  readonly wanted: number;
  /** The job that publishes, if one does. */
  readonly claim?: JobClaim;
}

/** @throws ALREADY_EXISTS when the number wanted is taken, ABORTED when the claim is lost. */
export async function reserveVersion(
  catalog: Catalog,
  { model, wanted, claim }: Reservation,
  dateMs: number,
): Promise<number> {
  if (claim !== undefined) {
    const { doc } = await catalog.require('job', claim.id);
    checkClaim(doc, claim);
    if (doc.reservedVersion !== undefined) return doc.reservedVersion;
  }
  await ensureModel(catalog, model, dateMs);
  if (wanted !== 0 && (await catalog.get('version', versionKey(model, wanted))) !== undefined) {
    throw new StatusError(
      Code.ALREADY_EXISTS,
      `version ${wanted} of model '${model}' is there already: give another number, or none`,
    );
  }
  let version = 0;
  await catalog.update('model', model, (doc) => {
    const taken = takeVersionNumber(doc, wanted, dateMs);
    version = taken.version;
    return taken.model;
  });
  if (claim === undefined) return version;
  const job = await catalog.update('job', claim.id, (doc) =>
    reserveJobVersion(doc, claim, version, dateMs),
  );
  return job.doc.reservedVersion ?? version;
}

/** The version that an earlier run of a job has published before it could say so. */
export async function publishedBy(
  catalog: Catalog,
  job: Pick<JobDoc, 'id' | 'reservedVersion'>,
  model: string,
): Promise<VersionDoc | undefined> {
  if (job.reservedVersion === undefined) return undefined;
  const entry = await catalog.get('version', versionKey(model, job.reservedVersion));
  return entry?.doc.source === job.id ? entry.doc : undefined;
}

/** Whether none that was published later serves by now: a late repetition is not to displace it. */
export async function isNewest(
  catalog: Catalog,
  { model, version }: Pick<VersionDoc, 'model' | 'version'>,
): Promise<boolean> {
  const entry = await catalog.get('model', model);
  return (entry?.doc.servingVersion ?? 0) < version;
}

export interface Publication {
  readonly version: Omit<VersionDoc, 'schema' | 'createdMs'>;
  readonly claim?: JobClaim;
  /** Make it the serving version. */
  readonly promotes: boolean;
}

/**
 * Writes the version document (its number reserved before), and promotes it when asked.
 * @throws ABORTED when the claim is lost, ALREADY_EXISTS, NOT_FOUND when the model went meanwhile.
 */
export async function publishVersion(
  catalog: Catalog,
  { version, claim, promotes }: Publication,
  dateMs: number,
): Promise<Entry<'version'>> {
  if (claim !== undefined) checkClaim((await catalog.require('job', claim.id)).doc, claim);
  const key = versionKey(version.model, version.version);
  const doc: VersionDoc = { ...version, schema: CATALOG_SCHEMA, createdMs: dateMs };
  const entry = await createOrAdopt(catalog, key, doc, claim !== undefined);
  try {
    await catalog.update('model', version.model, (model) => {
      const next = promotes ? promote(model, entry.doc, dateMs) : model;
      // Always a change: a deletion of the model under way then sees this version.
      return { ...next, updatedMs: dateMs };
    });
  } catch (error) {
    if (!hasCode(error, Code.NOT_FOUND)) throw error;
    await catalog.remove('version', key, entry.revision);
    throw error;
  }
  return entry;
}

async function createOrAdopt(
  catalog: Catalog,
  key: string,
  doc: VersionDoc,
  adopts: boolean,
): Promise<Entry<'version'>> {
  try {
    return await catalog.create('version', key, doc);
  } catch (error) {
    const there =
      hasCode(error, Code.ALREADY_EXISTS) && adopts ? await catalog.get('version', key) : undefined;
    if (there === undefined || there.doc.source !== doc.source) throw error;
    return there;
  }
}
