// Strings out of protobuf bytes. Model names and versions come again with every request, so the
// last ones seen are kept: finding one is several times cheaper than decoding it.
import { malformed } from './wire.ts';

/** Slots of the memory of strings: each holds the last string that fell into it. */
const SLOTS = 256;
/** Longer strings are decoded each time. Together with SLOTS: at most 16 KiB are kept. */
const MAX_KEPT_BYTES = 64;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

interface Kept {
  readonly bytes: Uint8Array;
  readonly text: string;
}

export class TextReader {
  readonly #slots: (Kept | undefined)[] = new Array<Kept | undefined>(SLOTS).fill(undefined);

  /** The same as decodeText(). */
  read(bytes: Uint8Array, start: number, end: number): string {
    const length = end - start;
    if (length === 0) return '';
    if (length > MAX_KEPT_BYTES) return decodeText(bytes, start, end);
    const slot = slotOf(bytes, start, end);
    const kept = this.#slots[slot];
    if (kept !== undefined && kept.bytes.length === length && isSame(kept.bytes, bytes, start)) {
      return kept.text;
    }
    const text = decodeText(bytes, start, end);
    this.#slots[slot] = { bytes: bytes.slice(start, end), text };
    return text;
  }
}

function slotOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] ?? 0)) | 0;
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & (SLOTS - 1);
}

function isSame(kept: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let at = 0; at < kept.length; at++) {
    if (kept[at] !== bytes[start + at]) return false;
  }
  return true;
}

/** bytes[start, end) as text. @throws INVALID_ARGUMENT when it is not UTF-8. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  try {
    return decoder.decode(bytes.subarray(start, end));
  } catch {
    throw malformed(start, 'a string is not valid UTF-8');
  }
}
