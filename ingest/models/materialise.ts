// A model's files out of the blob store into a folder of their own, each checked against its hash
// on the way, so that a runtime can open them.
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { BlobReader } from '../../stores/blobs/blobs.ts';
import { verified } from '../../stores/blobs/verified.ts';
import { diskError } from '../../stores/disk-error.ts';

export interface PlacedFile {
  /** Inside the folder. */
  readonly path: string;
  readonly sha256: string;
}

/**
 * @throws DATA_LOSS when a blob is damaged, NOT_FOUND when it is gone, RESOURCE_EXHAUSTED on a full
 * disk, what the signal was aborted with.
 */
export async function materialise(
  blobs: BlobReader,
  files: readonly PlacedFile[],
  dir: string,
  signal: AbortSignal,
): Promise<void> {
  for (const { path, sha256 } of files) {
    const target = join(dir, path);
    try {
      await mkdir(dirname(target), { recursive: true });
      const file = createWriteStream(target, { flags: 'wx' });
      await pipeline(verified(blobs.read(sha256), { sha256, what: `file '${path}'` }), file, {
        signal,
      });
    } catch (thrown) {
      signal.throwIfAborted();
      throw diskError(thrown, `write '${path}' of a model`, '');
    }
  }
}
