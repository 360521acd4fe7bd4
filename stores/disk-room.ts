// Room that what is written in bulk leaves on a disk. Without it the data that fills a disk also
// keeps the catalog from telling that it did: a job could neither go on nor fail.
import { statfs } from 'node:fs/promises';
import { Code, StatusError } from '../common/status.ts';
import { diskError } from './disk-error.ts';

/** Blobs, rows and copies of models are refused with RESOURCE_EXHAUSTED below so much. */
export const RESERVED_BYTES = 32 * 1024 * 1024;

/** Bytes that this process may still write to the disk on which a path lies. */
export type FreeBytes = (path: string) => Promise<number>;

export const freeBytesOn: FreeBytes = async (path) => {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
};

/**
 * @param path of a folder that is there
 * @throws RESOURCE_EXHAUSTED when `sizeBytes` more would leave less than RESERVED_BYTES
 */
export async function checkRoom(
  path: string,
  sizeBytes: number,
  freeBytes: FreeBytes = freeBytesOn,
): Promise<void> {
  const free = await freeBytes(path).catch((cause: unknown) => {
    throw diskError(cause, 'ask for the free space of the disk', '');
  });
  if (free - sizeBytes >= RESERVED_BYTES) return;
  throw new StatusError(
    Code.RESOURCE_EXHAUSTED,
    `the disk is full: ${free} bytes are free, ${sizeBytes} are wanted, and ` +
      `${RESERVED_BYTES} are kept for the catalog; free some space and try again`,
  );
}
