// A model's files out of the blob store into a folder of their own, each checked against its hash on
// the way, so that a runtime can open them.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Code, StatusError } from '../../common/status.ts';
import type { BlobReader } from '../../stores/blobs/blobs.ts';

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
    await pipeline(checked(blobs, sha256), createWriteStream(target, { flags: 'wx' }), { signal });
  }
}

async function* checked(blobs: BlobReader, sha256: string): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const chunk of blobs.read(sha256)) {
    hash.update(chunk);
    yield chunk;
  }
  const found = hash.digest('hex');
  if (found === sha256) return;
  throw new StatusError(Code.DATA_LOSS, `blob ${sha256} holds other bytes, their hash is ${found}`);
}
