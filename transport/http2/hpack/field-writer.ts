// The representations of RFC 7541, 6 as bytes: who chooses among them is the encoder.
import type { HeaderField } from './header-field.ts';
import { huffmanEncode, huffmanEncodedBytes } from './huffman.ts';
import type { Indexing } from './indexing-policy.ts';
import { MAX_INTEGER_BYTES, writeInteger } from './integer.ts';

/** First bits and prefix of a literal field (RFC 7541, 6.2). */
const LITERAL = {
  incremental: { pattern: 0x40, prefixMask: 0x3f },
  without: { pattern: 0x00, prefixMask: 0x0f },
  never: { pattern: 0x10, prefixMask: 0x0f },
} as const;

/** Bytes that `field` takes at most, whatever representation is chosen. */
export function mostFieldBytes(field: HeaderField): number {
  return field.name.length + field.value.length + 3 * MAX_INTEGER_BYTES;
}

/** 6.1. Returns the offset behind it, as all of these. */
export function writeIndexed(target: Uint8Array, at: number, index: number): number {
  return writeInteger(target, at, 0x80, 0x7f, index);
}

/** 6.3 */
export function writeSizeUpdate(target: Uint8Array, at: number, capacityBytes: number): number {
  return writeInteger(target, at, 0x20, 0x1f, capacityBytes);
}

/**
 * 6.2; `nameIndex` 0 writes the name too.
 * @throws RangeError when the field holds a character above 255.
 */
export function writeLiteral(
  target: Uint8Array,
  at: number,
  field: HeaderField,
  nameIndex: number,
  indexing: Indexing,
): number {
  const { pattern, prefixMask } = LITERAL[indexing];
  const next = writeInteger(target, at, pattern, prefixMask, nameIndex);
  const behindName = nameIndex === 0 ? writeString(target, next, field.name) : next;
  return writeString(target, behindName, field.value);
}

/** 5.2: Huffman when that is shorter. */
function writeString(target: Uint8Array, at: number, text: string): number {
  const huffmanBytes = huffmanEncodedBytes(text);
  if (huffmanBytes < 0) throw new RangeError('a header holds a character above 255');
  if (huffmanBytes < text.length) {
    return huffmanEncode(text, target, writeInteger(target, at, 0x80, 0x7f, huffmanBytes));
  }
  const start = writeInteger(target, at, 0, 0x7f, text.length);
  for (let index = 0; index < text.length; index += 1) {
    target[start + index] = text.charCodeAt(index);
  }
  return start + text.length;
}
