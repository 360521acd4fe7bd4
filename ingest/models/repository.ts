// A model repository as Triton lays it out: NAME/config.pbtxt (optional), NAME/VERSION/model.onnx
// and whatever lies beside it. Reads the folders into what is to be imported; each model or version
// that can't be is refused with its reason, and the others go on.
import type { Dirent } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { checkName, shownName } from '../../common/names.ts';
import { invalidArgument, type StatusError, statusOf } from '../../common/status.ts';
import { parseConfig } from '../../model/config/pbtxt.ts';
import { isInnerPath, MAX_MANIFEST_FILES } from '../../model/manifest.ts';
import type { ModelConfig } from '../../proto/gen/inference/model_config.ts';
import { diskError } from '../../stores/disk-error.ts';
import { CONFIG_FILE } from './model-file.ts';
import { MAX_CONFIG_BYTES } from './publish.ts';

/** More folders in a repository: the rest is refused. */
export const MAX_REPOSITORY_MODELS = 10_000;
/** Folders nested deeper in a version are refused. */
export const MAX_FOLDER_DEPTH = 16;
/** More folders in a version, counted as often as links lead to them: it is refused. */
export const MAX_FOLDERS = 1_000;
/** A larger file is refused before it is read: one with holes can be of any size. */
export const MAX_FILE_BYTES = 64 * 1024 ** 3;

export interface RepositoryFile {
  /** Inside the version: folders above it are gone. config.pbtxt and label files are in each. */
  readonly path: string;
  /** Where it lies on the disk. */
  readonly source: string;
  readonly sizeBytes: number;
}

export interface RepositoryVersion {
  readonly model: string;
  readonly version: number;
  readonly files: readonly RepositoryFile[];
  /** The newest of those that the model's version_policy asks for. */
  readonly isNewest: boolean;
}

export interface Refusal {
  /** Inside the repository: 'resnet', 'resnet/1'. */
  readonly path: string;
  readonly error: StatusError;
}

export interface RepositoryListing {
  /** By model, then version. Only those that the version policy asks for. */
  readonly versions: readonly RepositoryVersion[];
  readonly refused: readonly Refusal[];
}

/**
 * Files and names that start with a dot, at the top, are no models and are passed over.
 * @throws NOT_FOUND when the folder can't be read.
 */
export async function readRepository(root: string): Promise<RepositoryListing> {
  const realRoot = await realpath(root).catch((error: unknown) => {
    const { message } = diskError(error, 'read the model repository', root);
    throw invalidArgument(message);
  });
  const versions: RepositoryVersion[] = [];
  const refused: Refusal[] = [];
  let count = 0;
  for (const entry of await entriesOf(realRoot, realRoot)) {
    if (entry.name.startsWith('.') || entry.isFile()) continue;
    try {
      count += 1;
      if (count > MAX_REPOSITORY_MODELS) {
        throw invalidArgument(`a repository has at most ${MAX_REPOSITORY_MODELS} models`);
      }
      const found = await readModel(realRoot, entry.name);
      versions.push(...found.versions);
      refused.push(...found.refused);
    } catch (error) {
      refused.push({ path: entry.name, error: statusOf(error) });
    }
  }
  return { versions, refused };
}

async function entriesOf(root: string, dir: string): Promise<Dirent[]> {
  const entries = await onDisk(root, dir, readdir(dir, { withFileTypes: true }));
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function readModel(root: string, model: string): Promise<RepositoryListing> {
  checkName('model', model);
  const dir = await inside(root, join(root, model));
  if (!(await onDisk(root, dir, stat(dir))).isDirectory())
    throw invalidArgument(`'${model}' is no folder`);
  const entries = await entriesOf(root, dir);
  const numbers = entries.flatMap(({ name }) => versionOf(name) ?? []).sort((a, b) => a - b);
  if (numbers.length === 0) {
    throw invalidArgument(
      `model '${model}' has no version: its file belongs into a folder with a number for a name, ` +
        `${model}/1/model.onnx`,
    );
  }
  const hasConfig = entries.some(({ name }) => name === CONFIG_FILE);
  const config = hasConfig ? await readConfig(root, join(dir, CONFIG_FILE)) : undefined;
  const shared = await sharedFiles(root, dir, config);
  const chosen = chosenVersions(numbers, config);
  const versions: RepositoryVersion[] = [];
  const refused: Refusal[] = [];
  for (const version of chosen) {
    try {
      const own = await filesOf(root, join(dir, String(version)));
      const files = [...shared, ...own];
      if (files.length === shared.length) throw invalidArgument('the folder is empty');
      versions.push({ model, version, files, isNewest: version === chosen.at(-1) });
    } catch (error) {
      refused.push({ path: `${model}/${version}`, error: statusOf(error) });
    }
  }
  return { versions, refused };
}

function versionOf(name: string): number | undefined {
  const version = /^[1-9][0-9]{0,15}$/.test(name) ? Number(name) : Number.NaN;
  return Number.isSafeInteger(version) ? version : undefined;
}

async function readConfig(root: string, path: string): Promise<ModelConfig> {
  const file = await fileAt(root, path, CONFIG_FILE);
  if (file.sizeBytes > MAX_CONFIG_BYTES) {
    throw invalidArgument(`${CONFIG_FILE} has over ${MAX_CONFIG_BYTES} bytes`);
  }
  return parseConfig(await onDisk(root, path, readFile(file.source, 'utf8')));
}

/** What lies beside the versions and belongs to each: config.pbtxt, the label files it names. */
async function sharedFiles(
  root: string,
  dir: string,
  config: ModelConfig | undefined,
): Promise<RepositoryFile[]> {
  if (config === undefined) return [];
  const labels = config.output.map(({ labelFilename }) => labelFilename);
  const paths = new Set([CONFIG_FILE, ...labels.filter((name) => name !== '')]);
  const files: RepositoryFile[] = [];
  for (const path of paths) {
    if (!isInnerPath(path)) {
      const shown = JSON.stringify(shownName(path));
      throw invalidArgument(`label_filename ${shown} must be a plain path in the model's folder`);
    }
    files.push(await fileAt(root, join(dir, path), path));
  }
  return files;
}

/** Ascending. What version_policy asks for, of what is there; the newest one when it is silent. */
function chosenVersions(numbers: readonly number[], config: ModelConfig | undefined): number[] {
  const choice = config?.versionPolicy?.policyChoice;
  switch (choice?.$case) {
    case 'all':
      return [...numbers];
    case 'specific': {
      const asked = new Set(choice.specific.versions.map(Number));
      const missing = [...asked].find((version) => !numbers.includes(version));
      if (missing !== undefined) {
        throw invalidArgument(
          `version_policy asks for version ${missing}, there are: ${numbers.join(', ')}`,
        );
      }
      return numbers.filter((version) => asked.has(version));
    }
    default:
      return numbers.slice(-Math.max(1, choice?.latest.numVersions ?? 1));
  }
}

async function filesOf(root: string, dir: string): Promise<RepositoryFile[]> {
  const files: RepositoryFile[] = [];
  let folders = 0;
  const visit = async (folder: string, prefix: string, depth: number): Promise<void> => {
    folders += 1;
    if (depth > MAX_FOLDER_DEPTH) {
      throw invalidArgument(`folders nest over ${MAX_FOLDER_DEPTH} deep, or a link leads back`);
    }
    if (folders > MAX_FOLDERS) {
      throw invalidArgument(`a version has at most ${MAX_FOLDERS} folders, links followed`);
    }
    await inside(root, folder);
    for (const { name } of await entriesOf(root, folder)) {
      const path = prefix + name;
      checkInner(path);
      const source = await inside(root, join(folder, name));
      const info = await onDisk(root, source, stat(source));
      if (info.isDirectory()) await visit(source, `${path}/`, depth + 1);
      else files.push(await fileAt(root, source, path));
      if (files.length > MAX_MANIFEST_FILES) {
        throw invalidArgument(`a version has at most ${MAX_MANIFEST_FILES} files`);
      }
    }
  };
  await visit(dir, '', 0);
  return files;
}

/** @throws INVALID_ARGUMENT for a name that no file of a version can have. */
function checkInner(path: string): void {
  // What is no UTF-8 is read with replacement characters, and not found under that name.
  if (isInnerPath(path) && !path.includes('\ufffd')) return;
  throw invalidArgument(
    `file name ${JSON.stringify(shownName(path))} is not allowed: it must be UTF-8 of at most ` +
      '512 characters without backslashes',
  );
}

async function fileAt(root: string, at: string, path: string): Promise<RepositoryFile> {
  const source = await inside(root, at);
  const info = await onDisk(root, source, stat(source));
  if (!info.isFile()) throw invalidArgument(`'${relative(root, at)}' is no regular file`);
  if (info.size > MAX_FILE_BYTES) {
    throw invalidArgument(
      `'${relative(root, at)}' has ${info.size} bytes, at most ${MAX_FILE_BYTES} are taken`,
    );
  }
  return { path, source, sizeBytes: info.size };
}

/** The path without links. @throws INVALID_ARGUMENT when it leads out of the repository. */
async function inside(root: string, path: string): Promise<string> {
  const real = await onDisk(root, path, realpath(path));
  if (real === root || real.startsWith(root + sep)) return real;
  throw invalidArgument(`'${relative(root, path)}' is a link that leads out of the repository`);
}

/** Errors tell the place in the repository, not on the disk. */
async function onDisk<Result>(
  root: string,
  path: string,
  action: Promise<Result>,
): Promise<Result> {
  try {
    return await action;
  } catch (thrown) {
    throw diskError(thrown, 'read the repository', `'${relative(root, path)}'`);
  }
}
