// Imports what a model repository holds, as often as it is asked: what the catalog has already with
// the same content is left alone, so a restart imports nothing again.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type Catalog, versionKey } from '../../catalog/catalog.ts';
import type { ImportModelSpec, VersionDoc } from '../../catalog/documents.ts';
import { loadModelVersion, promoteVersion } from '../../catalog/versions.ts';
import { failedPrecondition, statusOf } from '../../common/status.ts';
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import { importModel, type ModelImportOptions } from './publish.ts';
import {
  type Refusal,
  type RepositoryFile,
  type RepositoryVersion,
  readRepository,
} from './repository.ts';

/** Label of a version from a repository: the hash over the paths and hashes of its files. */
const CONTENT_LABEL = 'content_sha256';
const SOURCE = 'repository';

export interface RepositoryImport {
  readonly imported: readonly VersionDoc[];
  /** Versions that were there with the same content. */
  readonly unchangedCount: number;
  readonly refused: readonly Refusal[];
}

/**
 * The newest version of each model that was not there before becomes the serving one. What has gone
 * from the repository stays in the catalog.
 * @throws INVALID_ARGUMENT when the folder can't be read, what the signal was aborted with; what is
 * wrong with a single model is among the refused.
 */
export async function importRepository(
  options: ModelImportOptions,
  root: string,
  signal: AbortSignal,
): Promise<RepositoryImport> {
  const { versions, refused } = await readRepository(root);
  const imported: VersionDoc[] = [];
  const refusals = [...refused];
  for (const version of versions) {
    signal.throwIfAborted();
    try {
      const doc = await importVersion(options, version, signal);
      if (doc !== undefined) imported.push(doc);
    } catch (error) {
      signal.throwIfAborted();
      refusals.push({ path: `${version.model}/${version.version}`, error: statusOf(error) });
    }
  }
  const unchangedCount = versions.length - imported.length - (refusals.length - refused.length);
  refusals.push(...(await loadOthers(options, versions, imported)));
  return { imported, unchangedCount, refused: refusals };
}

/** Undefined: it is there already. */
async function importVersion(
  options: ModelImportOptions,
  found: RepositoryVersion,
  signal: AbortSignal,
): Promise<VersionDoc | undefined> {
  const { model, version, isNewest } = found;
  const files: ImportModelSpec['files'] = [];
  for (const file of found.files) {
    const sha256 = await hashOf(file, signal);
    files.push({ path: file.path, sha256, sizeBytes: file.sizeBytes });
  }
  const content = fingerprint(files);
  if (await isThere(options, found, content)) return undefined;
  for (const [index, file] of found.files.entries()) {
    await store(options.blobs, file, files[index]?.sha256 ?? '');
  }
  const spec: ImportModelSpec = {
    kind: 'import_model',
    model,
    files,
    version,
    labels: { [CONTENT_LABEL]: content },
    source: SOURCE,
    promotes: isNewest,
  };
  return await importModel(options, spec, { signal, progress: () => {} });
}

async function hashOf({ source }: RepositoryFile, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(source, { signal })) hash.update(chunk);
  return hash.digest('hex');
}

/**
 * Also what is stored already: an old blob that nothing names may be collected before the version
 * that is to name it is there; written again it is young.
 */
async function store(blobs: BlobStore, file: RepositoryFile, sha256: string): Promise<void> {
  const options = { expectedSha256: sha256, maxBytes: file.sizeBytes };
  await blobs.write(createReadStream(file.source), options);
}

function fingerprint(files: ImportModelSpec['files']): string {
  const hash = createHash('sha256');
  const byPath = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  for (const { path, sha256 } of byPath) hash.update(`${sha256} ${path}\n`);
  return hash.digest('hex');
}

/** @throws FAILED_PRECONDITION when the number stands for other content. */
async function isThere(
  { catalog, dateMs }: ModelImportOptions,
  { model, version, isNewest }: RepositoryVersion,
  content: string,
): Promise<boolean> {
  const entry = await catalog.get('version', versionKey(model, version));
  if (entry === undefined) return false;
  if (entry.doc.labels[CONTENT_LABEL] !== content) {
    const from = entry.doc.source === SOURCE ? 'with other files' : `from ${entry.doc.source}`;
    throw failedPrecondition(
      `version ${version} of model '${model}' is there already, ${from}: versions never change, ` +
        'give changed files or a changed config.pbtxt a new number',
    );
  }
  // A crash between the writing of a version and its promotion leaves a model that serves nothing.
  const { doc } = await catalog.require('model', model);
  if (isNewest && doc.servingVersion === 0) {
    await promoteVersion(catalog, model, version, dateMs());
  }
  return true;
}

/** Where a model got a new version: the others that its version_policy asks for, by number. */
async function loadOthers(
  { catalog, dateMs }: ModelImportOptions,
  versions: readonly RepositoryVersion[],
  imported: readonly VersionDoc[],
): Promise<Refusal[]> {
  const refusals: Refusal[] = [];
  const changed = new Set(imported.map(({ model }) => model));
  for (const { model, version, isNewest } of versions) {
    if (isNewest || !changed.has(model) || !(await exists(catalog, model, version))) continue;
    try {
      await loadModelVersion(catalog, model, version, dateMs());
    } catch (error) {
      refusals.push({ path: `${model}/${version}`, error: statusOf(error) });
    }
  }
  return refusals;
}

async function exists(catalog: Catalog, model: string, version: number): Promise<boolean> {
  return (await catalog.get('version', versionKey(model, version))) !== undefined;
}
