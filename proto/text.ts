// Strings that come again and again. Model names and versions come again with every request, so the
// last ones seen are kept: finding one is several times cheaper than decoding it.
import { decodeText } from './wire.ts';

/** Slots of the memory of strings: each holds the last string that fell into it. */
const SLOTS = 256;
/** Longer strings are decoded each time. Together with SLOTS: at most 16 KiB are kept. */
const MAX_KEPT_BYTES = 64;

interface Kept {
  readonly bytes: Buffer;
  readonly text: string;
}

export class TextReader {
  readonly #slots: (Kept | undefined)[] = new Array<Kept | undefined>(SLOTS).fill(undefined);

  /** The same as decodeText(). */
  read(bytes: Buffer, start: number, end: number): string {
    const length = end - start;
    if (length === 0) return '';
    if (length > MAX_KEPT_BYTES) return decodeText(bytes, start, end);
    const slot = slotOf(bytes, start, end);
    const kept = this.#slots[slot];
    if (kept !== undefined && kept.bytes.length === length && isSame(kept.bytes, bytes, start)) {
      return kept.text;
    }
    const text = decodeText(bytes, start, end);
    this.#slots[slot] = { bytes: Buffer.from(bytes.subarray(start, end)), text };
    return text;
  }
}

function slotOf(bytes: Buffer, start: number, end: number): number {
  let hash = 0;
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] ?? 0)) | 0;
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & (SLOTS - 1);
}

function isSame(kept: Buffer, bytes: Buffer, start: number): boolean {
  for (let at = 0; at < kept.length; at++) {
    if (kept[at] !== bytes[start + at]) return false;
  }
  return true;
}
