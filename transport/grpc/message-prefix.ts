// What stands before every message on the wire (gRPC over HTTP/2, Length-Prefixed-Message): a byte
// that tells whether it is compressed, and its length in 4 bytes, the highest first.
import { Code, StatusError } from '../../common/status.ts';

export const PREFIX_BYTES = 5;

/** Writes the prefix at `at`; returns the offset behind it. */
export function writePrefix(
  target: Uint8Array,
  at: number,
  lengthBytes: number,
  isCompressed = false,
): number {
  target[at] = isCompressed ? 1 : 0;
  target[at + 1] = lengthBytes >>> 24;
  target[at + 2] = lengthBytes >>> 16;
  target[at + 3] = lengthBytes >>> 8;
  target[at + 4] = lengthBytes;
  return at + PREFIX_BYTES;
}

/** The prefix alone, to be sent before a message of that length. */
export function messagePrefix(lengthBytes: number, isCompressed = false): Uint8Array {
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  writePrefix(prefix, 0, lengthBytes, isCompressed);
  return prefix;
}

/** `maxMessageBytes` is told, so that the sender knows what to change. */
export function messageTooLarge(sizeBytes: number, maxMessageBytes: number): StatusError {
  return new StatusError(
    Code.RESOURCE_EXHAUSTED,
    `message of ${sizeBytes} bytes is larger than the limit of ${maxMessageBytes} bytes`,
  );
}
