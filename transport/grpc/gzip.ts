// gzip both ways. What is small is done at once; what is not goes to another thread, so that one
// message never holds up the calls of others. What a message inflates to never passes its limit,
// not by a chunk.
import { constants, gunzip, gunzipSync, gzip, gzipSync } from 'node:zlib';
import { Code, StatusError } from '../../common/status.ts';

/** Messages up to this size are packed and unpacked at once, a matter of 0.1 ms. */
export const MAX_AT_ONCE_BYTES = 64 * 1024;
/** At once no more than this comes out, whatever a message says of itself. */
const MAX_AT_ONCE_INFLATED_BYTES = 256 * 1024;
/** The last bytes tell the inflated size, the lowest first (RFC 1952, 2.3.1, ISIZE). */
const SIZE_BYTES = 4;
/** A header, the shortest content, a check sum and the size. */
const MIN_GZIP_BYTES = 20;
/** Each chunk comes back through the event loop, which may be busy: few and large ones. */
const MAX_CHUNK_BYTES = 1024 * 1024;
/** zlib takes no smaller chunk. */
const MIN_CHUNK_BYTES = 64;

/** In the middle of a call speed counts, and most of the gain is there at the lowest level. */
const PACKING = { level: constants.Z_BEST_SPEED };

export type Unpacked = (result: Uint8Array | StatusError) => void;

function corrupt(cause: unknown): StatusError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new StatusError(Code.INTERNAL, `a message marked as gzip is none: ${why}`, { cause });
}

function isTooLarge(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_BUFFER_TOO_LARGE';
}

function tooLarge(maxMessageBytes: number): StatusError {
  const text = `message inflates to more than the limit of ${maxMessageBytes} bytes`;
  return new StatusError(Code.RESOURCE_EXHAUSTED, text);
}

/** What a message says that it inflates to: who says too much is believed, who says less is not. */
function toldBytes(bytes: Uint8Array): number {
  let told = 0;
  for (let at = 1; at <= SIZE_BYTES; at += 1) {
    told = told * 256 + (bytes[bytes.length - at] ?? 0);
  }
  return told;
}

/** RFC 1952, 2.3.1: what all members begin with. */
function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= MIN_GZIP_BYTES && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The inflated message. Undefined: it is too large to be inflated at once, inflateLater does it.
 * @throws StatusError RESOURCE_EXHAUSTED above `maxMessageBytes`, INTERNAL when it is no gzip.
 */
export function inflateNow(bytes: Uint8Array, maxMessageBytes: number): Uint8Array | undefined {
  const told = toldBytes(bytes);
  if (isGzip(bytes) && told > maxMessageBytes) throw tooLarge(maxMessageBytes);
  if (bytes.length > MAX_AT_ONCE_BYTES || told > MAX_AT_ONCE_INFLATED_BYTES) return undefined;
  const maxOutputLength = Math.min(maxMessageBytes, MAX_AT_ONCE_INFLATED_BYTES);
  try {
    const chunkSize = Math.max(told + 1, MIN_CHUNK_BYTES);
    return gunzipSync(bytes, { maxOutputLength, chunkSize });
  } catch (thrown) {
    if (!isTooLarge(thrown)) throw corrupt(thrown);
    if (maxOutputLength === maxMessageBytes) throw tooLarge(maxMessageBytes);
    return undefined;
  }
}

/** As inflateNow, for messages of any size, in another thread; never calls `done` at once. */
export function inflateLater(bytes: Uint8Array, maxMessageBytes: number, done: Unpacked): void {
  const chunkSize = Math.min(Math.max(toldBytes(bytes) + 1, MIN_CHUNK_BYTES), MAX_CHUNK_BYTES);
  gunzip(bytes, { maxOutputLength: maxMessageBytes, chunkSize }, (error, inflated) => {
    if (error === null) done(inflated);
    else done(isTooLarge(error) ? tooLarge(maxMessageBytes) : corrupt(error));
  });
}

/** The packed message. Undefined: it is too large to be packed at once, deflateLater does it. */
export function deflateNow(bytes: Uint8Array): Uint8Array | undefined {
  return bytes.length > MAX_AT_ONCE_BYTES ? undefined : gzipSync(bytes, PACKING);
}

export function deflateLater(bytes: Uint8Array, done: Unpacked): void {
  gzip(bytes, PACKING, (error, packed) => {
    if (error === null) done(packed);
    else done(new StatusError(Code.INTERNAL, `a message can't be packed: ${error.message}`));
  });
}
