// A hash of bytes to find them again by, four a step. Not against attackers: whoever makes two
// collide gains nothing, because what is found is compared byte by byte.

const MULTIPLIER = 0x9e3779b1 | 0;

/** 32 bits, all of which depend on every byte of bytes[start, end). */
export function byteHash(bytes: Uint8Array, start: number, end: number): number {
  let hash = Math.imul(end - start, MULTIPLIER);
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    const high = (bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8);
    hash = Math.imul(hash ^ low ^ (high << 16), MULTIPLIER);
    hash ^= hash >>> 15;
  }
  for (; at < end; at += 1) {
    hash = Math.imul(hash ^ (bytes[at] ?? 0), MULTIPLIER);
    hash ^= hash >>> 15;
  }
  return hash;
}
