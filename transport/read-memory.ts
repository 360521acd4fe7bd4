// What sockets read into: one buffer for all sockets of a thread, which the next read overwrites.
// Node's own way makes a buffer of 64 KiB for each read. Who keeps bytes of it beyond the call that
// brought them asks for a range that lasts: small ones are copied one behind the other into slabs,
// which are never written again where they were.

/** As much as Node reads at once, and what a kernel has in one go of most connections. */
const READ_BYTES = 65_536;
/** What keeps a few bytes of a slab alive keeps all of it: no more than a read of Node's holds. */
const SLAB_BYTES = 65_536;
/** A longer range gets memory of its own: at most a quarter of a slab is left empty at its end. */
const SLAB_RANGE_BYTES = 16_384;

/** Valid until the call that is given it returns. */
export const READ_BUFFER: Buffer = Buffer.allocUnsafeSlow(READ_BYTES);

let slab: Buffer = Buffer.alloc(0);
let slabEnd = 0;

/** Copies a range that is no longer than SLAB_RANGE_BYTES; returns where it starts in slab. */
function put(bytes: Buffer, start: number, end: number): number {
  if (slab.length - slabEnd < end - start) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    slabEnd = 0;
  }
  const at = slabEnd;
  slabEnd += bytes.copy(slab, at, start, end);
  return at;
}

/** bytes[start, end) for as long as it is held: a view, or a copy of what is in READ_BUFFER. */
export function lasting(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (bytes !== READ_BUFFER) {
    return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
  }
  if (end - start > SLAB_RANGE_BYTES) {
    const own = Buffer.allocUnsafeSlow(end - start);
    READ_BUFFER.copy(own, 0, start, end);
    return own;
  }
  const at = put(READ_BUFFER, start, end);
  return slab.subarray(at, slabEnd);
}

/**
 * Gives what a read brought, READ_BUFFER[0, sizeBytes): a small read as bytes that last, so that
 * nobody copies the messages in it one by one; a large one as it is.
 */
export function giveRead(
  sizeBytes: number,
  take: (bytes: Uint8Array, start: number, end: number) => void,
): void {
  if (sizeBytes > SLAB_RANGE_BYTES) take(READ_BUFFER, 0, sizeBytes);
  else {
    const at = put(READ_BUFFER, 0, sizeBytes);
    take(slab, at, slabEnd);
  }
}
