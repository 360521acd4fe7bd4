// The release before this one, taken out of the repository's history into a folder, so that a
// cluster of its processes can be brought to this one.
import { spawnSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Stands for it until there is a tag of a release: roles apart, before what came after. */
const FIRST = '1f4eb91482fccbbbe7467aad3d5b4354c30f0600';
const MAX_ARCHIVE_BYTES = 512 * 2 ** 20;

export interface ReleaseBefore {
  /** Its cli/main.ts */
  readonly main: string;
  /** 'v1.2.0', or the start of a commit's hash. */
  readonly name: string;
}

/**
 * @param folder that it is put into
 * @throws when the history is not there: a shallow clone has none
 */
export function releaseBefore(folder: string): ReleaseBefore {
  const name = newestTag() ?? FIRST;
  const archive = git('archive', '--format=tar', name);
  if (archive === undefined) {
    throw new Error(`the history of this checkout has no ${name}: git fetch --unshallow --tags`);
  }
  const unpacked = spawnSync('tar', ['-x', '-C', folder], { input: archive });
  if (unpacked.status !== 0) throw new Error(`tar: ${unpacked.stderr}`);
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return { main: join(folder, 'cli', 'main.ts'), name: name.slice(0, 12) };
}

/** Of a release before this commit. */
function newestTag(): string | undefined {
  const found = git('describe', '--tags', '--abbrev=0', '--match', 'v*', 'HEAD~1');
  return found?.toString().trim();
}

function git(...args: readonly string[]): Buffer | undefined {
  const { status, stdout } = spawnSync('git', args, { cwd: ROOT, maxBuffer: MAX_ARCHIVE_BYTES });
  return status === 0 ? stdout : undefined;
}
