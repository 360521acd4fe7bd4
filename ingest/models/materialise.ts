// A model's files out of the blob store into a folder of their own, each checked against its hash on
// the way, so that a runtime can open them.
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { BlobReader } from '../../stores/blobs/blobs.ts';
import { verified } from '../../stores/blobs/verified.ts';

export interface PlacedFile {
  /** Inside the folder. */
  readonly path: string;
  readonly sha256: string;
}

/** @throws DATA_LOSS when a blob is damaged, NOT_FOUND when it is gone, as the signal says. */
export async function materialise(
  blobs: BlobReader,
  files: readonly PlacedFile[],
  dir: string,
  signal: AbortSignal,
): Promise<void> {
  for (const { path, sha256 } of files) {
    const target = join(dir, path);
    await mkdir(dirname(target), { recursive: true });
    await pipeline(verified(blobs, sha256), createWriteStream(target, { flags: 'wx' }), { signal });
  }
}
