// One bit of a file, turned over on the disk and back: what a disk, a cable or a memory module does
// silently. Where it falls is random, evenly over the file.
import { open } from 'node:fs/promises';

export interface Flip {
  readonly byte: number;
  /** 0 to 7 */
  readonly bit: number;
}

/** @param random in [0, 1) */
export function anyFlip(sizeBytes: number, random: () => number): Flip {
  return { byte: Math.floor(random() * sizeBytes), bit: Math.floor(random() * 8) };
}

/** Done twice, the file is as it was. */
export async function flipOnDisk(path: string, { byte, bit }: Flip): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const one = new Uint8Array(1);
    await file.read(one, 0, 1, byte);
    one[0] = (one[0] ?? 0) ^ (1 << bit);
    await file.write(one, 0, 1, byte);
  } finally {
    await file.close();
  }
}

export function flipped(bytes: Uint8Array, { byte, bit }: Flip): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[byte] = (copy[byte] ?? 0) ^ (1 << bit);
  return copy;
}
