// Files that are there after a power cut: the content is on the disk before a name points to it,
// and so is the name before anybody is told.
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Writes a new file; its name is durable once its folder is (syncFolder). Returns its size. */
export async function writeDurably(
  path: string,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number> {
  const file = await open(path, 'wx');
  try {
    let sizeBytes = 0;
    for await (const part of source) {
      await file.writeFile(part);
      sizeBytes += part.length;
    }
    await file.sync();
    return sizeBytes;
  } finally {
    await file.close();
  }
}

/** Readers see the old content or the new one, whenever the process or the machine stops. */
export async function replaceDurably(
  path: string,
  text: string | AsyncIterable<string>,
): Promise<void> {
  const next = `${path}.new`;
  const file = await open(next, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, path);
  await syncFolder(dirname(path));
}

/** Makes the names in a folder durable, where the system lets folders be opened. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined);
  if (folder === undefined) return;
  try {
    await folder.sync().catch(() => undefined);
  } finally {
    await folder.close();
  }
}
