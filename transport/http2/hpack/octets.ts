// Octets as text, one character each (latin1). A call into the runtime costs the same however short
// the text is, several times what a few characters cost here; grpc-timeout is such a text.
import { toBuffer } from '../../../common/bytes.ts';

/** Up to here a text is put together from characters; longer, the runtime is faster (measured). */
const MAX_JOINED_BYTES = 12;

const character = String.fromCharCode;

/** bytes[start, end) as a string of as many characters, 0 to 255 each. */
export function octetText(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > MAX_JOINED_BYTES) return toBuffer(bytes).toString('latin1', start, end);
  let text = '';
  let at = start;
  for (; at + 4 <= end; at += 4) {
    text += character(bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0, bytes[at + 3] ?? 0);
  }
  if (at + 2 <= end) {
    text += character(bytes[at] ?? 0, bytes[at + 1] ?? 0);
    at += 2;
  }
  return at < end ? text + character(bytes[at] ?? 0) : text;
}
