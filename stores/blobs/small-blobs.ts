// Blobs that are small enough to be held whole: manifests, lists, settings.
import type { BlobInfo, BlobReader, BlobStore } from './blobs.ts';
import { type Expected, verified } from './verified.ts';

/**
 * @throws NOT_FOUND, and DATA_LOSS for more than `maxBytes` or for bytes that are not those that
 * the name stands for.
 */
export async function readSmallBlob(
  blobs: BlobReader,
  expected: Expected & { readonly maxBytes: number },
): Promise<Buffer> {
  const source = blobs.read(expected.sha256);
  return Buffer.concat(await Array.fromAsync(verified(source, expected)));
}

/** @throws as BlobStore.write. */
export function writeSmallBlob(
  blobs: Pick<BlobStore, 'write'>,
  bytes: Uint8Array,
): Promise<BlobInfo> {
  async function* once(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  return blobs.write(once(), { maxBytes: bytes.length });
}
