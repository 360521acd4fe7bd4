// The node's disk cache of model versions, one folder per manifest hash. What is in it was verified
// file by file: a folder gets its name only when it is whole, so a crash leaves nothing half-made.
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, type Stats } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isSha256 } from '../common/names.ts';
import { Code, StatusError } from '../common/status.ts';
import {
  decodeManifest,
  type Manifest,
  type ManifestFile,
  readManifestBytes,
} from '../model/manifest.ts';
import type { BlobReader } from '../stores/blobs/blobs.ts';
import { verified } from '../stores/blobs/verified.ts';
import { diskError } from '../stores/disk-error.ts';
import { checkRoom } from '../stores/disk-room.ts';
import { syncFolder, writeDurably } from '../stores/durable-files.ts';

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
  /** Whole and right since this process looked. */
  isVerified: boolean;
}

export interface VersionCacheOptions {
  readonly folder: string;
  readonly blobs: BlobReader;
  readonly maxBytes?: number;
}

export class VersionCache {
  readonly #folder: string;
  readonly #blobs: BlobReader;
  readonly #maxBytes: number;
  readonly #held = new Map<string, Held>();
  readonly #fetching = new Map<string, Promise<Held>>();
  #reservedBytes = 0;
  #uses = 0;

  private constructor({ folder, blobs, maxBytes = DEFAULT_CACHE_BYTES }: VersionCacheOptions) {
    this.#folder = folder;
    this.#blobs = blobs;
    this.#maxBytes = maxBytes;
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
        if (held.isVerified || (await isWhole(join(folder, FILES), held.manifest.files))) {
          held.isVerified = true;
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
    return await this.#fetch(name, folder);
  }

  async #fetch(name: string, folder: string): Promise<Held> {
    const manifestBytes = await readManifestBytes(this.#blobs, name);
    const manifest = decodeManifest(manifestBytes);
    const sizeBytes = sizeOf(manifest);
    await this.#makeRoom(sizeBytes, name);
    await checkRoom(this.#folder, sizeBytes);
    this.#reservedBytes += sizeBytes;
    const temporary = join(this.#folder, `${TEMPORARY}${randomUUID()}`);
    try {
      await this.#onDisk('keep a model version', async () => {
        await mkdir(temporary);
        for (const file of manifest.files) {
          await this.#fetchFile(file, join(temporary, FILES, file.path));
        }
        await writeDurably(join(temporary, MANIFEST), [manifestBytes]);
        await rename(temporary, folder);
        await syncFolder(this.#folder);
      });
    } catch (error) {
      await removeFolder(temporary).catch(() => undefined);
      throw error;
    } finally {
      this.#reservedBytes -= sizeBytes;
    }
    const held = { manifest, sizeBytes, users: 0, lastUsed: ++this.#uses, isVerified: true };
    this.#held.set(name, held);
    return held;
  }

  async #fetchFile({ path, sha256, sizeBytes }: ManifestFile, target: string): Promise<void> {
    await mkdir(dirname(target), { recursive: true });
    const source = verified(this.#blobs.read(sha256), {
      sha256,
      what: `file '${path}'`,
      maxBytes: sizeBytes,
    });
    const written = await writeDurably(target, source);
    if (written === sizeBytes) return;
    throw new StatusError(
      Code.DATA_LOSS,
      `file '${path}' is ${written} bytes long, its manifest says ${sizeBytes}`,
    );
  }

  async #makeRoom(sizeBytes: number, name: string): Promise<void> {
    const room = (): number => this.#maxBytes - this.#reservedBytes - this.sizeBytes;
    while (room() < sizeBytes) {
      const unused = [...this.#held]
        .filter(([, { users }]) => users === 0)
        .sort(([, a], [, b]) => a.lastUsed - b.lastUsed)[0];
      if (unused === undefined) {
        throw new StatusError(
          Code.RESOURCE_EXHAUSTED,
          `model version ${name} of ${sizeBytes} bytes does not fit the node's cache: its ` +
            `limit is ${this.#maxBytes} bytes, and ${this.sizeBytes + this.#reservedBytes} are ` +
            'in use',
        );
      }
      this.#held.delete(unused[0]);
      await this.#onDisk('remove a model version', () =>
        removeFolder(join(this.#folder, unused[0])),
      );
    }
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
      this.#held.set(name, { manifest, sizeBytes, users: 0, lastUsed, isVerified: false });
    } catch {
      await removeFolder(folder);
    }
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

function sizeOf({ files }: Manifest): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}
