// Promotion and deletion of model versions, which touch two documents. The order of the writes
// keeps one promise through any crash and any race: a model never serves a version that is gone.
import { Code, failedPrecondition, hasCode, StatusError } from '../common/status.ts';
import { type Catalog, type Entry, MAX_UPDATE_ATTEMPTS, versionKey } from './catalog.ts';
import type { ModelDoc, VersionDoc } from './documents.ts';
import { dropVersion, loadVersion, promote, retire } from './models.ts';

const BEING_DELETED = 'is being deleted';

export interface ModelChange {
  /** The revision that the caller saw; absent: whatever is stored. */
  readonly revision?: number | undefined;
  /** One of the model's versions that the change depends on. */
  readonly version?: number | undefined;
}

/**
 * Changes a model, by what one of its versions is now where it depends on one; looks at both again
 * when the model changed meanwhile. A change that returns the model it was given writes nothing.
 * @throws NOT_FOUND, ABORTED for another revision, what `change` throws.
 */
export async function changeModel(
  catalog: Catalog,
  model: string,
  { revision, version }: ModelChange,
  change: (model: ModelDoc, version: VersionDoc | undefined) => ModelDoc,
): Promise<Entry<'model'>> {
  return await catalog.update('model', model, async (doc, entry) => {
    checkRevision(`model '${model}'`, entry.revision, revision);
    if (version === undefined) return change(doc, undefined);
    const found = await catalog.require('version', versionKey(model, version));
    return change(doc, found.doc);
  });
}

/** @throws NOT_FOUND, FAILED_PRECONDITION when the version is not READY. */
export async function promoteVersion(
  catalog: Catalog,
  model: string,
  version: number,
  dateMs: number,
): Promise<Entry<'model'>> {
  return await changeModel(catalog, model, { version }, (doc, found) =>
    found === undefined ? doc : promote(doc, found, dateMs),
  );
}

/** Makes a version reachable by number. @throws as promoteVersion. */
export async function loadModelVersion(
  catalog: Catalog,
  model: string,
  version: number,
  dateMs: number,
): Promise<Entry<'model'>> {
  return await changeModel(catalog, model, { version }, (doc, found) =>
    found === undefined ? doc : loadVersion(doc, found, dateMs),
  );
}

/**
 * @param revision the version's, from its etag; undefined: whatever is stored.
 * @throws NOT_FOUND, ABORTED for another revision, FAILED_PRECONDITION for the serving version.
 */
export async function deleteVersion(
  catalog: Catalog,
  model: string,
  version: number,
  revision: number | undefined,
  dateMs: number,
): Promise<void> {
  const key = versionKey(model, version);
  const { doc } = await catalog.require('model', model);
  dropVersion(doc, version, dateMs);
  let before: VersionDoc | undefined;
  const marked = await catalog.update('version', key, (found, entry) => {
    checkRevision(`version ${version} of model '${model}'`, entry.revision, revision);
    before = found;
    return { ...found, state: 'FAILED', reason: BEING_DELETED };
  });
  try {
    await catalog.update('model', model, (now) => dropVersion(now, version, dateMs));
  } catch (error) {
    if (before !== undefined) await catalog.put('version', key, before, marked.revision);
    throw error;
  }
  await catalog.remove('version', key, marked.revision);
}

/**
 * Retires the model, then deletes its versions, then the model itself; can be repeated after a
 * crash.
 * @throws NOT_FOUND, ABORTED for another revision, FAILED_PRECONDITION when it has versions and
 *   `force` is not given.
 */
export async function deleteModel(
  catalog: Catalog,
  model: string,
  options: { readonly revision: number | undefined; readonly force: boolean },
  dateMs: number,
): Promise<void> {
  const entry = await catalog.require('model', model);
  checkRevision(`model '${model}'`, entry.revision, options.revision);
  await checkNoVersions(catalog, model, options.force);
  for (let attempt = 1; ; attempt += 1) {
    // Retired before its versions are listed: what is published after that makes the removal fail.
    const retired = await catalog.update('model', model, (doc) => retire(doc, dateMs));
    await checkNoVersions(catalog, model, options.force);
    for (const { key } of await catalog.all('version', `${model}/`)) {
      await catalog.removeAny('version', key);
    }
    try {
      return await catalog.remove('model', model, retired.revision);
    } catch (error) {
      if (!hasCode(error, Code.ABORTED) || attempt >= MAX_UPDATE_ATTEMPTS) throw error;
    }
  }
}

async function checkNoVersions(catalog: Catalog, model: string, force: boolean): Promise<void> {
  if (force) return;
  const some = await catalog.list('version', { prefix: `${model}/`, limit: 1 });
  if (some.length === 0) return;
  throw failedPrecondition(
    `model '${model}' has versions: delete them first, or force its deletion`,
  );
}

/** @throws ABORTED when the caller saw another state than the one stored. */
export function checkRevision(title: string, stored: number, seen: number | undefined): void {
  if (seen === undefined || seen === stored) return;
  throw new StatusError(
    Code.ABORTED,
    `${title} has changed since it was read (etag ${seen}, now ${stored}): read it again`,
  );
}
