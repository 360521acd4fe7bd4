// A disk that is soon full, where the system lets us make one: a tmpfs, which needs root on Linux.
import { spawnSync } from 'node:child_process';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SmallDisk {
  readonly folder: string;
  end(): Promise<void>;
}

/** Undefined: not here. */
export async function smallDisk(sizeBytes: number): Promise<SmallDisk | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-disk-'));
  const args = ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'torus-test', folder];
  if (spawnSync('mount', args).status !== 0) {
    await rmdir(folder);
    return undefined;
  }
  return {
    folder,
    async end() {
      spawnSync('umount', ['-l', folder]);
      await rmdir(folder);
    },
  };
}
