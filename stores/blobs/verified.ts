// Who reads a blob checks that it is what its name says: disks and networks damage bytes silently.
import { createHash } from 'node:crypto';
import type { BlobReader } from './blobs.ts';
import { hashMismatch } from './limits.ts';

/**
 * The whole blob, hashed on its way. Bytes come before their hash is known: use them only once the
 * stream has ended. @throws DATA_LOSS at the end when they are not those that the name stands for.
 */
export async function* verified(reader: BlobReader, sha256: string): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const chunk of reader.read(sha256)) {
    hash.update(chunk);
    yield chunk;
  }
  const found = hash.digest('hex');
  if (found !== sha256) throw hashMismatch(sha256, found);
}
