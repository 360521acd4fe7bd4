// The names in a zip archive, from its central directory (APPNOTE.TXT 4.3.12), without unpacking:
// Keras and PyTorch keep models in zips, and the names tell which.
import type { ModelFile } from './model-file.ts';

/** The end of an archive that is read; a directory that is longer is seen in part. */
const TAIL_BYTES = 256 * 1024;
const MAX_NAMES = 1_000;
const ENTRY = 'PK\x01\x02';
const ENTRY_HEADER_BYTES = 46;

export function isZip(head: Uint8Array): boolean {
  return head[0] === 0x50 && head[1] === 0x4b && head[2] === 0x03 && head[3] === 0x04;
}

export async function entryNames(file: ModelFile): Promise<string[]> {
  const startByte = Math.max(0, file.sizeBytes - TAIL_BYTES);
  const tail = Buffer.from(await file.read(startByte, TAIL_BYTES));
  const names: string[] = [];
  // Looks for headers rather than following the directory's offsets, which damaged files lack.
  let at = tail.indexOf(ENTRY, 0, 'latin1');
  while (at !== -1 && at + ENTRY_HEADER_BYTES <= tail.length && names.length < MAX_NAMES) {
    const start = at + ENTRY_HEADER_BYTES;
    names.push(tail.toString('utf8', start, start + tail.readUInt16LE(at + 28)));
    at = tail.indexOf(ENTRY, start, 'latin1');
  }
  return names;
}
