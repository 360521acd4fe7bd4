// The text of a status as the wire allows it: whatever a handler says, it must not break the
// headers that carry it.

/**
 * Room of a status message in the trailers, percent-encoded; longer ones are cut and end in '...'.
 */
export const MAX_STATUS_MESSAGE_BYTES = 4096;

const PRINTABLE = /^[ -$&-~]*$/;

/** Bytes that a UTF-16 unit can take at most, percent-encoded (3 for each of its 3 bytes). */
const MAX_ENCODED_BYTES_PER_UNIT = 9;

/** Well-formed Unicode that fits MAX_STATUS_MESSAGE_BYTES once percent-encoded. */
export function wireMessage(text: string): string {
  if (text.length <= MAX_STATUS_MESSAGE_BYTES && PRINTABLE.test(text)) return text;
  if (text.length * MAX_ENCODED_BYTES_PER_UNIT <= MAX_STATUS_MESSAGE_BYTES) {
    return text.toWellFormed();
  }
  const wellFormed = text.slice(0, MAX_STATUS_MESSAGE_BYTES).toWellFormed();
  const isWhole = text.length <= MAX_STATUS_MESSAGE_BYTES;
  if (isWhole && encodeURI(wellFormed).length <= MAX_STATUS_MESSAGE_BYTES) return wellFormed;
  let room = MAX_STATUS_MESSAGE_BYTES - 3;
  let kept = '';
  for (const character of wellFormed) {
    room -= encodeURI(character).length;
    if (room < 0) break;
    kept += character;
  }
  return `${kept}...`;
}
