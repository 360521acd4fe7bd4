// Integers with a prefix of N bits (RFC 7541, 5.1), written; block-reader.ts reads them.

/** Largest integer that is read: lengths, indices and table sizes beyond it are an attack. */
export const MAX_INTEGER = 2 ** 28 - 1;

/** Bytes an integer takes at most: the prefix, and 7 bits a byte up to MAX_INTEGER. */
export const MAX_INTEGER_BYTES = 5;

/**
 * Writes `value` (0 to MAX_INTEGER) into the low bits of a byte whose high bits are `pattern`.
 * `prefixMask` is 2^N - 1. Returns the offset behind it; `target` has MAX_INTEGER_BYTES of room.
 */
export function writeInteger(
  target: Uint8Array,
  at: number,
  pattern: number,
  prefixMask: number,
  value: number,
): number {
  if (value < prefixMask) {
    target[at] = pattern | value;
    return at + 1;
  }
  target[at] = pattern | prefixMask;
  let rest = value - prefixMask;
  let next = at + 1;
  while (rest > 0x7f) {
    target[next] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
    next += 1;
  }
  target[next] = rest;
  return next + 1;
}
