// The node's disk cache of model versions, one folder per manifest hash. What is in it was verified
// file by file: a folder gets its name only when it is whole, so a crash leaves nothing half-made.
// Every byte is verified again each time a version is asked for, since disks forget: a load takes
// far longer than its hash, and a start waits for the versions that it serves and not for all that
// lie there.
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, type Stats } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Clock, systemClock } from '../common/clock.ts';
import { isSha256 } from '../common/names.ts';
import { Code, StatusError } from '../common/status.ts';
import {
  decodeManifest,
  type Manifest,
  type ManifestFile,
  readManifestBytes,
} from '../model/manifest.ts';
import type { BlobReader } from '../stores/blobs/blobs.ts';
import { resumed } from '../stores/blobs/resumed.ts';
import { verified } from '../stores/blobs/verified.ts';
import { diskError } from '../stores/disk-error.ts';
import { checkRoom, type FreeBytes, freeBytesOn, RESERVED_BYTES } from '../stores/disk-room.ts';
import { syncFolder, writeDurably } from '../stores/durable-files.ts';
import { nextToLeave } from './eviction.ts';

/** Above it, versions that are not in use go, the longest unused first. */
export const DEFAULT_CACHE_BYTES = 64 * 1024 ** 3;

const MANIFEST = 'manifest.json';
const FILES = 'files';
const TEMPORARY = '.tmp-';

export interface CachedVersion {
  readonly manifest: Manifest;
  /** Holds the manifest's files under their paths. */
  readonly folder: string;
  /** Until then the version stays on disk. */
  release(): void;
}

interface Held {
  readonly manifest: Manifest;
  readonly sizeBytes: number;
  users: number;
  lastUsed: number;
}

export interface VersionCacheOptions {
  readonly folder: string;
  readonly blobs: BlobReader;
  readonly maxBytes?: number;
  readonly clock?: Clock;
  readonly freeBytes?: FreeBytes;
}

export class VersionCache {
  readonly #folder: string;
  readonly #blobs: BlobReader;
  readonly #maxBytes: number;
  readonly #held = new Map<string, Held>();
  readonly #fetching = new Map<string, Promise<Held>>();
  readonly #clock: Clock;
  readonly #freeBytes: FreeBytes;
  /** Of versions that are being fetched, all of them and what is still to be written. */
  #reservedBytes = 0;
  #unwrittenBytes = 0;
  #uses = 0;

  private constructor(options: VersionCacheOptions) {
    this.#folder = options.folder;
    this.#blobs = options.blobs;
    this.#maxBytes = options.maxBytes ?? DEFAULT_CACHE_BYTES;
    this.#clock = options.clock ?? systemClock;
    this.#freeBytes = options.freeBytes ?? freeBytesOn;
  }

  /** Takes stock of what is there, and removes what a crash left. @throws as a disk may fail */
  static async open(options: VersionCacheOptions): Promise<VersionCache> {
    const cache = new VersionCache(options);
    await cache.#onDisk('open the cache', async () => {
      await mkdir(options.folder, { recursive: true });
      const found: { name: string; stats: Stats }[] = [];
      for (const name of await readdir(options.folder)) {
        if (isSha256(name)) found.push({ name, stats: await stat(join(options.folder, name)) });
        else if (name.startsWith(TEMPORARY)) await removeFolder(join(options.folder, name));
      }
      found.sort((a, b) => a.stats.mtimeMs - b.stats.mtimeMs);
      for (const { name } of found) await cache.#recall(name);
    });
    return cache;
  }

  /**
   * The version's files on disk, fetched if need be: once, however many wait.
   * @throws NOT_FOUND; DATA_LOSS for bytes that are not what their hash says; RESOURCE_EXHAUSTED
   * when the cache or the disk has no room; UNAVAILABLE when the store can't be reached.
   */
  async acquire(manifestSha256: string): Promise<CachedVersion> {
    if (!isSha256(manifestSha256)) {
      throw new StatusError(Code.NOT_FOUND, 'a manifest is named by its SHA-256, 64 digits');
    }
    let held = await this.#single(manifestSha256);
    // Evicted between its arrival and now, by a download that needed the room: fetched again.
    while (this.#held.get(manifestSha256) !== held) held = await this.#single(manifestSha256);
    held.users += 1;
    held.lastUsed = ++this.#uses;
    let isReleased = false;
    return {
      manifest: held.manifest,
      folder: join(this.#folder, manifestSha256, FILES),
      release: () => {
        if (!isReleased) held.users -= 1;
        isReleased = true;
      },
    };
  }

  #single(name: string): Promise<Held> {
    let fetching = this.#fetching.get(name);
    if (fetching === undefined) {
      fetching = this.#provide(name).finally(() => this.#fetching.delete(name));
      this.#fetching.set(name, fetching);
    }
    return fetching;
  }

  /** Bytes of the versions on disk. */
  get sizeBytes(): number {
    let size = 0;
    for (const held of this.#held.values()) size += held.sizeBytes;
    return size;
  }

  async #provide(name: string): Promise<Held> {
    const folder = join(this.#folder, name);
    const held = this.#held.get(name);
    if (held !== undefined) {
      // Pinned while it is looked at, so that nobody evicts it meanwhile.
      held.users += 1;
      try {
        if (await isWhole(join(folder, FILES), held.manifest.files)) {
          const now = new Date();
          await utimes(folder, now, now).catch(() => undefined);
          return held;
        }
      } finally {
        held.users -= 1;
      }
      this.#held.delete(name);
      await this.#onDisk('remove a model version', () => removeFolder(folder));
    }
    return await this.#fetch(name);
  }

  async #fetch(name: string): Promise<Held> {
    const manifestBytes = await readManifestBytes(this.#blobs, name);
    const manifest = decodeManifest(manifestBytes);
    const sizeBytes = sizeOf(manifest);
    // Reserved before room is made: others that are fetched meanwhile count it too.
    this.#reservedBytes += sizeBytes;
    const unwritten = { sizeBytes };
    this.#unwrittenBytes += sizeBytes;
    const onBytes = (bytes: number): void => {
      this.#unwrittenBytes -= bytes;
      unwritten.sizeBytes -= bytes;
    };
    try {
      await this.#makeRoom(sizeBytes, name);
      await this.#fill(name, manifest, manifestBytes, onBytes);
    } finally {
      this.#reservedBytes -= sizeBytes;
      this.#unwrittenBytes -= unwritten.sizeBytes;
    }
    const held = { manifest, sizeBytes, users: 0, lastUsed: ++this.#uses };
    this.#held.set(name, held);
    return held;
  }

  /** Leaves the whole version under its name, or nothing. */
  async #fill(
    name: string,
    { files }: Manifest,
    manifestBytes: Uint8Array,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const temporary = join(this.#folder, `${TEMPORARY}${randomUUID()}`);
    try {
      await this.#onDisk('keep a model version', async () => {
        await mkdir(temporary);
        for (const file of files) {
          await this.#fetchFile(file, join(temporary, FILES, file.path), onBytes);
        }
        await writeDurably(join(temporary, MANIFEST), [manifestBytes]);
        for (const inner of foldersOf(files)) await syncFolder(join(temporary, inner));
        await rename(temporary, join(this.#folder, name));
        await syncFolder(this.#folder);
      });
    } catch (error) {
      await removeFolder(temporary).catch(() => undefined);
      throw error;
    }
  }

  async #fetchFile(
    { path, sha256, sizeBytes }: ManifestFile,
    target: string,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    await mkdir(dirname(target), { recursive: true });
    const source = verified(resumed(this.#blobs, sha256, this.#clock), {
      sha256,
      what: `file '${path}'`,
      maxBytes: sizeBytes,
    });
    const written = await writeDurably(target, counted(source, onBytes));
    if (written === sizeBytes) return;
    throw new StatusError(
      Code.DATA_LOSS,
      `file '${path}' is ${written} bytes long, its manifest says ${sizeBytes}`,
    );
  }

  /**
   * Until what is held and what is reserved fit into the limit, and what is still to be written
   * onto the disk. The limit may be above what the disk has: unused versions leave all the same.
   */
  async #makeRoom(sizeBytes: number, name: string): Promise<void> {
    for (;;) {
      const overBytes = this.sizeBytes + this.#reservedBytes - this.#maxBytes;
      const shortBytes = Math.max(overBytes, await this.#shortOnDisk());
      if (shortBytes <= 0) return;
      const leaving = nextToLeave(this.#held, shortBytes);
      if (leaving !== undefined) await this.#evict(leaving);
      else if (overBytes > 0) throw this.#tooLarge(sizeBytes, name);
      else return await checkRoom(this.#folder, this.#unwrittenBytes, this.#freeBytes);
    }
  }

  /** Bytes that the disk lacks; 0 when it can't be asked, which is told when room is checked. */
  async #shortOnDisk(): Promise<number> {
    const free = await this.#freeBytes(this.#folder).catch(() => Number.POSITIVE_INFINITY);
    return Math.max(0, this.#unwrittenBytes + RESERVED_BYTES - free);
  }

  async #evict(name: string): Promise<void> {
    this.#held.delete(name);
    await this.#onDisk('remove a model version', () => removeFolder(join(this.#folder, name)));
  }

  #tooLarge(sizeBytes: number, name: string): StatusError {
    const inUse = [...this.#held.values()].filter(({ users }) => users > 0);
    const usedBytes =
      inUse.reduce((sum, held) => sum + held.sizeBytes, 0) + this.#reservedBytes - sizeBytes;
    return new StatusError(
      Code.RESOURCE_EXHAUSTED,
      `model version ${name} of ${sizeBytes} bytes does not fit the node's cache: its ` +
        `limit is ${this.#maxBytes} bytes, and ${usedBytes} are in use`,
    );
  }

  async #onDisk(doing: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      throw diskError(cause, doing, this.#folder);
    }
  }

  /**
   * Puts a folder found on disk into the books, or removes it when its manifest is not what it
   * was.
   */
  async #recall(name: string): Promise<void> {
    const folder = join(this.#folder, name);
    try {
      const bytes = await readFile(join(folder, MANIFEST));
      if (createHash('sha256').update(bytes).digest('hex') !== name) throw new Error('changed');
      const manifest = decodeManifest(bytes);
      const lastUsed = ++this.#uses;
      const sizeBytes = sizeOf(manifest);
      this.#held.set(name, { manifest, sizeBytes, users: 0, lastUsed });
    } catch {
      await removeFolder(folder);
    }
  }
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    yield chunk;
    onBytes(chunk.length);
  }
}

/** Whether the files on disk are those of the manifest, byte for byte. */
async function isWhole(folder: string, files: readonly ManifestFile[]): Promise<boolean> {
  try {
    for (const { path, sha256, sizeBytes } of files) {
      const source = createReadStream(join(folder, path));
      let size = 0;
      for await (const part of verified(source, { sha256, maxBytes: sizeBytes })) {
        size += part.length;
      }
      if (size !== sizeBytes) return false;
    }
    return true;
  } catch {
    return false;
  }
}

/** Every folder below a version's own, and that one, in which there is a name. */
function foldersOf(files: readonly ManifestFile[]): ReadonlySet<string> {
  const folders = new Set(['.', FILES]);
  for (const { path } of files) {
    for (let at = dirname(path); at !== '.'; at = dirname(at)) folders.add(join(FILES, at));
  }
  return folders;
}

function sizeOf({ files }: Manifest): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}
