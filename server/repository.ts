// A model repository in Triton's layout, read where it lies: NAME/config.pbtxt (may be absent),
// NAME/VERSION/model.onnx. For a node on its own; a cluster imports repositories instead. Nothing
// outside the repository is ever read: names that lead out, by '..' or by links, are refused.
import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { isName, shownName } from '../common/names.ts';
import { invalidArgument, notFound, type StatusError, statusOf } from '../common/status.ts';
import { parseConfig } from '../model/config/pbtxt.ts';
import type { ModelConfig } from '../proto/gen/inference/model_config.ts';
import { diskError, errnoOf } from '../stores/disk-error.ts';
import type { VersionFiles } from './load-version.ts';
import type { Copy } from './versions.ts';

/** A larger config.pbtxt is refused with INVALID_ARGUMENT. */
export const MAX_CONFIG_BYTES = 1024 * 1024;
/** Files of one version that its fingerprint takes in; more are refused with INVALID_ARGUMENT. */
export const MAX_VERSION_FILES = 10_000;

const CONFIG = 'config.pbtxt';
const VERSION = /^[1-9][0-9]{0,14}$/;

export interface RepositoryModel {
  readonly model: string;
  /** The versions that the policy serves; the newest has the calls without a version. */
  readonly copies: readonly Copy[];
  /** Why there are none. */
  readonly error: StatusError | undefined;
}

export class ModelRepository {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /** @throws when the folder can't be read */
  static async open(folder: string): Promise<ModelRepository> {
    try {
      const root = await realpath(folder);
      await readdir(root);
      return new ModelRepository(root);
    } catch (cause) {
      throw diskError(cause, 'read the model repository', folder);
    }
  }

  /** Every model of the repository, by name; one that is broken says why. */
  async scan(): Promise<readonly RepositoryModel[]> {
    const entries = await this.#list(this.#root);
    const names = entries.filter((entry) => !entry.name.startsWith('.') && isFolderLike(entry));
    names.sort((a, b) => (a.name < b.name ? -1 : 1));
    const models: RepositoryModel[] = [];
    for (const { name } of names) models.push(await this.#tryRead(name));
    return models;
  }

  /** @throws NOT_FOUND for a model that is not there, or whose name can't be one */
  async read(model: string): Promise<RepositoryModel> {
    const unknown = (): StatusError =>
      notFound(`model '${shownName(model)}' is not in the repository`);
    if (!isName(model)) throw unknown();
    const entries = await this.#list(this.#root);
    if (!entries.some((entry) => entry.name === model && isFolderLike(entry))) throw unknown();
    return await this.#tryRead(model);
  }

  /** The files of a copy that `scan` or `read` told of. */
  async files({ model, version }: Copy): Promise<VersionFiles> {
    const labelFolder = await this.#inside(model);
    const folder = await this.#inside(model, String(version));
    const configPbtxt = await this.#config(labelFolder);
    return { model, version, folder, labelFolder, configPbtxt, release: () => undefined };
  }

  async #tryRead(model: string): Promise<RepositoryModel> {
    try {
      if (!isName(model)) {
        throw invalidArgument('its name must be letters, digits, dots, underscores and hyphens');
      }
      return { model, copies: await this.#copies(model), error: undefined };
    } catch (thrown) {
      return { model, copies: [], error: statusOf(thrown) };
    }
  }

  async #copies(model: string): Promise<readonly Copy[]> {
    const folder = await this.#inside(model);
    const configPbtxt = await this.#config(folder);
    const config = configPbtxt === '' ? undefined : parseConfig(configPbtxt);
    const found = (await this.#list(folder))
      .filter((entry) => VERSION.test(entry.name) && isFolderLike(entry))
      .map(({ name }) => Number(name))
      .sort((a, b) => a - b);
    if (found.length === 0) {
      throw invalidArgument('it has no version: put the model into a folder named by a number, 1');
    }
    const versions = servedVersions(found, config?.versionPolicy);
    if (versions.length === 0) throw invalidArgument('its version_policy names no version it has');
    const copies: Copy[] = [];
    for (const version of versions) {
      const content = await this.#fingerprint(await this.#inside(model, String(version)));
      const manifestSha256 = digest(`${configPbtxt}\0${content}`);
      copies.push({ model, version, manifestSha256 });
    }
    return copies;
  }

  /** Another one whenever a file's size or time of change is another. */
  async #fingerprint(folder: string): Promise<string> {
    const entries = await this.#list(folder, true);
    if (entries.length > MAX_VERSION_FILES) {
      throw invalidArgument(`a version has ${entries.length} files, at most ${MAX_VERSION_FILES}`);
    }
    const lines: string[] = [];
    for (const { parentPath, name } of entries) {
      const path = join(parentPath, name);
      const { size, mtimeMs } = await stat(path).catch((cause: unknown) => {
        throw diskError(cause, 'look at a file of a model', path);
      });
      lines.push(`${relative(folder, path)} ${size} ${mtimeMs}`);
    }
    return lines.sort().join('\n');
  }

  async #config(folder: string): Promise<string> {
    const path = join(folder, CONFIG);
    try {
      const real = await realpath(path);
      this.#refuseOutside(real, CONFIG);
      if ((await stat(real)).size > MAX_CONFIG_BYTES) {
        throw invalidArgument(`config.pbtxt is larger than ${MAX_CONFIG_BYTES} bytes`);
      }
      return await readFile(real, 'utf8');
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return '';
      throw diskError(cause, 'read the configuration', path);
    }
  }

  async #inside(...parts: readonly string[]): Promise<string> {
    const path = join(this.#root, ...parts);
    const real = await realpath(path).catch((cause: unknown) => {
      throw diskError(cause, 'read the model', path);
    });
    this.#refuseOutside(real, parts.join('/'));
    return real;
  }

  #refuseOutside(real: string, shown: string): void {
    if (real.startsWith(this.#root + sep)) return;
    throw invalidArgument(`'${shown}' is a link that leads out of the model repository`);
  }

  async #list(folder: string, recursive = false): Promise<Dirent[]> {
    try {
      return await readdir(folder, { withFileTypes: true, recursive });
    } catch (cause) {
      throw diskError(cause, 'read the model repository', folder);
    }
  }
}

function isFolderLike(entry: Dirent): boolean {
  return entry.isDirectory() || entry.isSymbolicLink();
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** @param found in ascending order */
function servedVersions(
  found: readonly number[],
  policy: ModelConfig['versionPolicy'],
): readonly number[] {
  const choice = policy?.policyChoice;
  switch (choice?.$case) {
    case 'all':
      return found;
    case 'specific': {
      const wanted = new Set(choice.specific.versions.map(Number));
      return found.filter((version) => wanted.has(version));
    }
    default: {
      const count = choice?.latest.numVersions ?? 1;
      return found.slice(-Math.max(1, count));
    }
  }
}
