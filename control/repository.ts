// Loading and unloading as clients of the inference protocol know it (RepositoryModelLoad,
// -Unload), as changes of the catalog. The router calls these; what serves then follows from the
// leader's next plan.
import { type Catalog, versionKey } from '../catalog/catalog.ts';
import { unloadAll } from '../catalog/models.ts';
import { promoteVersion } from '../catalog/versions.ts';
import { isName, requestForUnknownModel } from '../common/names.ts';
import { Code, failedPrecondition, hasCode, notFound } from '../common/status.ts';

export interface RepositoryHooks {
  /**
   * The serving version is to be loaded, out of quarantine too; without one, the newest READY
   * version becomes it. Resolves when the catalog says so.
   * @throws NOT_FOUND, FAILED_PRECONDITION when there is no such version.
   */
  loadModel(model: string): Promise<void>;
  /** No version of the model is to be loaded; nothing to do for one that is unknown. */
  unloadModel(model: string): Promise<void>;
}

export function repositoryHooks(catalog: Catalog, dateMs: () => number): RepositoryHooks {
  return {
    async loadModel(model) {
      if (!isName(model)) throw unknownModel(model);
      const entry = await catalog.get('model', model);
      if (entry === undefined) throw unknownModel(model);
      const version = entry.doc.servingVersion || (await newestReady(catalog, model));
      await release(catalog, model, version);
      await promoteVersion(catalog, model, version, dateMs());
    },
    async unloadModel(model) {
      if (!isName(model) || (await catalog.get('model', model)) === undefined) return;
      try {
        await catalog.update('model', model, (doc) => unloadAll(doc, dateMs()));
      } catch (error) {
        // Deleted in the meantime.
        if (!hasCode(error, Code.NOT_FOUND)) throw error;
      }
    },
  };
}

/** Whoever asks for a version by a command of its own wants it tried again after its quarantine. */
async function release(catalog: Catalog, model: string, version: number): Promise<void> {
  const key = versionKey(model, version);
  if ((await catalog.get('version', key))?.doc.state !== 'QUARANTINED') return;
  await catalog.update('version', key, (doc) =>
    doc.state === 'QUARANTINED' ? { ...doc, state: 'READY', reason: '' } : doc,
  );
}

function unknownModel(model: string): Error {
  return notFound(`${requestForUnknownModel(model)} is not found`);
}

async function newestReady(catalog: Catalog, model: string): Promise<number> {
  const versions = await catalog.all('version', `${model}/`);
  const newest = versions.filter(({ doc }) => doc.state === 'READY').at(-1);
  if (newest !== undefined) return newest.doc.version;
  throw failedPrecondition(`failed to load '${model}', no version is available`);
}
