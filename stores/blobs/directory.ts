// Blobs as files of one folder: blobs/ab/cd/abcd... Content goes to incoming/ first and takes its
// name only when it is whole, checked and on the disk; what a crash leaves in incoming/ is removed
// when the folder is opened. Processes of one host may share the folder when each says so.
import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { abortable } from '../../common/abortable.ts';
import { isSha256 } from '../../common/names.ts';
import { type StatusError, unavailable } from '../../common/status.ts';
import { diskError, errnoOf } from '../disk-error.ts';
import { checkRoom, type FreeBytes, freeBytesOn } from '../disk-room.ts';
import { syncFolder } from '../durable-files.ts';
import type {
  BlobInfo,
  BlobListing,
  BlobRange,
  BlobReader,
  BlobStore,
  BlobWriteOptions,
} from './blobs.ts';
import {
  blobTooLarge,
  checkListLimit,
  checkWriteOptions,
  hashMismatch,
  noSuchBlob,
  pastEnd,
  startOf,
} from './limits.ts';

/** The disk is asked for its room before each so many bytes. */
const ROOM_STEP_BYTES = 8 * 1024 * 1024;

/** In a shared folder: what was not written for so long in incoming/ was left by a crash. */
const ABANDONED_MS = 60 * 60 * 1000;

export interface DirectoryBlobsOptions {
  readonly freeBytes?: FreeBytes;
  /** Other processes may be writing there: default false, and all that is half goes at once. */
  readonly isShared?: boolean;
  /** Milliseconds since 1970. */
  readonly dateMs?: () => number;
}

/** Makes the folder when absent. @throws StatusError that names the path. */
export async function openDirectoryBlobs(
  root: string,
  { freeBytes = freeBytesOn, isShared = false, dateMs = Date.now }: DirectoryBlobsOptions = {},
): Promise<BlobStore> {
  const incoming = join(root, 'incoming');
  try {
    await mkdir(incoming, { recursive: true });
    await sweep(incoming, isShared ? dateMs() - ABANDONED_MS : Number.POSITIVE_INFINITY);
    await mkdir(join(root, 'blobs'), { recursive: true });
    await syncFolder(root);
  } catch (thrown) {
    throw diskError(thrown, 'make the folder of the blobs', root);
  }
  return new DirectoryBlobs(root, freeBytes);
}

/** Removes what was last written before `beforeMs`. */
async function sweep(incoming: string, beforeMs: number): Promise<void> {
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name);
    // Its writer may give it its name, or remove it, while we look.
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && found.mtimeMs < beforeMs) {
      await rm(path, { recursive: true, force: true });
    }
  }
}

/** Reads a folder that others have open for writing. */
export function readDirectoryBlobs(root: string): BlobReader & Pick<BlobStore, 'close'> {
  return new DirectoryBlobs(root, freeBytesOn);
}

class DirectoryBlobs implements BlobStore {
  readonly #root: string;
  readonly #freeBytes: FreeBytes;
  readonly #closing = new AbortController();
  readonly #writes = new Set<Promise<unknown>>();

  constructor(root: string, freeBytes: FreeBytes) {
    this.#root = root;
    this.#freeBytes = freeBytes;
  }

  async stat(sha256: string): Promise<BlobInfo | undefined> {
    const listing = await this.#listing(sha256);
    return listing === undefined ? undefined : { sha256, sizeBytes: listing.sizeBytes };
  }

  async *read(sha256: string, range?: BlobRange): AsyncGenerator<Uint8Array> {
    this.#checkOpen();
    const startByte = startOf(range);
    if (!isSha256(sha256)) throw noSuchBlob(sha256);
    const path = this.#pathOf(sha256);
    const file = await ifThere(open(path, 'r'), `read the blob ${sha256}`);
    if (file === undefined) throw noSuchBlob(sha256);
    try {
      const { size } = await file.stat();
      if (startByte > size) throw pastEnd(startByte, size);
      yield* file.createReadStream({ start: startByte, autoClose: false });
    } catch (thrown) {
      throw diskError(thrown, `read the blob ${sha256}`, '');
    } finally {
      await file.close();
    }
  }

  write(source: AsyncIterable<Uint8Array>, options: BlobWriteOptions): Promise<BlobInfo> {
    const writing = this.#write(source, options);
    this.#writes.add(writing);
    const forget = () => this.#writes.delete(writing);
    writing.then(forget, forget);
    return writing;
  }

  async #write(source: AsyncIterable<Uint8Array>, options: BlobWriteOptions): Promise<BlobInfo> {
    this.#checkOpen();
    checkWriteOptions(options);
    const temporary = join(this.#root, 'incoming', randomUUID());
    const file = await onDisk(open(temporary, 'wx'), 'write a blob');
    try {
      const info = await this.#take(source, options, file);
      await onDisk(this.#publish(temporary, info.sha256), `keep the blob ${info.sha256}`);
      return info;
    } catch (thrown) {
      await unlink(temporary).catch(() => {});
      throw thrown;
    }
  }

  /** Copies the source to the file, synced and closed. */
  async #take(
    source: AsyncIterable<Uint8Array>,
    { maxBytes, expectedSha256 }: BlobWriteOptions,
    file: FileHandle,
  ): Promise<BlobInfo> {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    let roomBytes = 0;
    try {
      for await (const chunk of abortable(source, this.#closing.signal)) {
        sizeBytes += chunk.byteLength;
        if (sizeBytes > maxBytes) throw blobTooLarge(maxBytes);
        if (sizeBytes > roomBytes) {
          const stepBytes = Math.max(ROOM_STEP_BYTES, chunk.byteLength);
          await checkRoom(this.#root, stepBytes, this.#freeBytes);
          roomBytes += stepBytes;
        }
        hash.update(chunk);
        await onDisk(file.writeFile(chunk), 'write a blob');
      }
      const sha256 = hash.digest('hex');
      if (expectedSha256 !== undefined && sha256 !== expectedSha256) {
        throw hashMismatch(expectedSha256, sha256);
      }
      await onDisk(file.sync(), 'write a blob');
      return { sha256, sizeBytes };
    } finally {
      await file.close();
    }
  }

  /** Replaces one of the same name: it has the same content, or is damaged. */
  async #publish(temporary: string, sha256: string): Promise<void> {
    const path = this.#pathOf(sha256);
    const folder = dirname(path);
    const isNewFolder = (await mkdir(folder, { recursive: true })) !== undefined;
    await rename(temporary, path);
    await syncFolder(folder);
    if (!isNewFolder) return;
    await syncFolder(dirname(folder));
    await syncFolder(dirname(dirname(folder)));
  }

  async remove(sha256: string): Promise<void> {
    this.#checkOpen();
    if (!isSha256(sha256)) return;
    const path = this.#pathOf(sha256);
    await ifThere(unlink(path), `remove the blob ${sha256}`);
  }

  async list(after: string, limit: number): Promise<readonly BlobListing[]> {
    this.#checkOpen();
    checkListLimit(limit);
    const found: BlobListing[] = [];
    for await (const sha256 of hashesIn(join(this.#root, 'blobs'), after)) {
      const info = await this.#listing(sha256);
      if (info !== undefined) found.push(info);
      if (found.length === limit) break;
    }
    return found;
  }

  async close(): Promise<void> {
    this.#closing.abort(closed());
    await Promise.allSettled(this.#writes);
  }

  /** A file is written anew each time, so that its own time is when it was last given. */
  async #listing(sha256: string): Promise<BlobListing | undefined> {
    this.#checkOpen();
    if (!isSha256(sha256)) return undefined;
    const path = this.#pathOf(sha256);
    const found = await ifThere(stat(path), `read the blob ${sha256}`);
    if (found === undefined) return undefined;
    return { sha256, sizeBytes: found.size, writtenMs: Math.floor(found.mtimeMs) };
  }

  #checkOpen(): void {
    if (this.#closing.signal.aborted) throw closed();
  }

  #pathOf(sha256: string): string {
    return join(this.#root, 'blobs', sha256.slice(0, 2), sha256.slice(2, 4), sha256);
  }
}

/** Ordered; folders that lie before `after` are not opened. */
async function* hashesIn(top: string, after: string): AsyncGenerator<string> {
  for (const first of await namesIn(top)) {
    if (first < after.slice(0, 2)) continue;
    for (const second of await namesIn(join(top, first))) {
      if (first + second < after.slice(0, 4)) continue;
      for (const name of await namesIn(join(top, first, second))) {
        if (name > after && isSha256(name)) yield name;
      }
    }
  }
}

async function namesIn(folder: string): Promise<string[]> {
  const names = await ifThere(readdir(folder), 'list the blobs');
  return names?.sort() ?? [];
}

async function onDisk<Result>(action: Promise<Result>, doing: string): Promise<Result> {
  try {
    return await action;
  } catch (thrown) {
    throw diskError(thrown, doing, '');
  }
}

/** Undefined when the file is not there. */
async function ifThere<Result>(
  action: Promise<Result>,
  doing: string,
): Promise<Result | undefined> {
  try {
    return await action;
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw diskError(thrown, doing, '');
  }
}

function closed(): StatusError {
  return unavailable('the blob store is closed');
}
