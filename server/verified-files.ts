// Files whose bytes are what their SHA-256 says: checked as they stream, durable when they are
// written.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { Code, StatusError } from '../common/status.ts';
import type { ManifestFile } from '../model/manifest.ts';

/**
 * Passes a blob on, and fails at its end when it was another. @throws DATA_LOSS for more than
 * `maxBytes` or another hash
 */
export async function* verified(
  source: AsyncIterable<Uint8Array>,
  what: string,
  sha256: string,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const part of source) {
    size += part.length;
    if (size > maxBytes) {
      throw new StatusError(Code.DATA_LOSS, `${what} is longer than ${maxBytes} bytes`);
    }
    hash.update(part);
    yield part;
  }
  const actual = hash.digest('hex');
  if (actual === sha256) return;
  throw new StatusError(Code.DATA_LOSS, `${what} has SHA-256 ${actual}, expected ${sha256}`);
}

/** Whether the files on disk are those of the manifest, byte for byte. */
export async function isWhole(folder: string, files: readonly ManifestFile[]): Promise<boolean> {
  try {
    for (const { path, sha256, sizeBytes } of files) {
      const source = createReadStream(join(folder, path));
      let size = 0;
      for await (const part of verified(source, path, sha256, sizeBytes)) size += part.length;
      if (size !== sizeBytes) return false;
    }
    return true;
  } catch {
    return false;
  }
}

/** Writes a new file; when this resolves it survives a power cut. Returns its size in bytes. */
export async function writeDurably(
  target: string,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number> {
  const handle = await open(target, 'wx');
  try {
    let size = 0;
    for await (const part of source) {
      await writeWhole(handle, part);
      size += part.length;
    }
    await handle.sync();
    return size;
  } finally {
    await handle.close();
  }
}

async function writeWhole(handle: FileHandle, part: Uint8Array): Promise<void> {
  let at = 0;
  while (at < part.length) at += (await handle.write(part, at)).bytesWritten;
}

/** Makes a rename survive a power cut, where the system lets folders be opened. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  if (handle === undefined) return;
  try {
    await handle.sync().catch(() => undefined);
  } finally {
    await handle.close();
  }
}
