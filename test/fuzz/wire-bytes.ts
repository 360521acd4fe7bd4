// Frames and parts of header blocks as bytes, right or wrong: nothing here checks what it writes.
import { BlockPool, Output } from '../../transport/http2/frames/output.ts';
import { huffmanEncode, huffmanEncodedBytes } from '../../transport/http2/hpack/huffman.ts';
import { MAX_INTEGER_BYTES, writeInteger } from '../../transport/http2/hpack/integer.ts';

const POOL = new BlockPool();

export function frameBytes(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array,
): Buffer {
  const output = new Output(POOL);
  output.frameHeader(payload.length, type, flags, streamId);
  output.copy(payload, 0, payload.length);
  return Buffer.concat(output.take());
}

export function uint32Bytes(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, at) => {
    bytes.writeUInt32BE(value >>> 0, at * 4);
  });
  return bytes;
}

/** An integer of RFC 7541, 5.1. */
export function integerBytes(pattern: number, prefixMask: number, value: number): Buffer {
  const bytes = Buffer.alloc(MAX_INTEGER_BYTES);
  return bytes.subarray(0, writeInteger(bytes, 0, pattern, prefixMask, value));
}

/** A string literal of RFC 7541, 5.2; `text` has characters up to 255. */
export function literalBytes(text: string, isHuffman: boolean): Buffer {
  if (!isHuffman) {
    return Buffer.concat([integerBytes(0, 0x7f, text.length), Buffer.from(text, 'latin1')]);
  }
  const length = huffmanEncodedBytes(text);
  const code = Buffer.alloc(length);
  huffmanEncode(text, code, 0);
  return Buffer.concat([integerBytes(0x80, 0x7f, length), code]);
}

/** The setting's id and value, as SETTINGS has them. */
export function settingBytes(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt32BE(value >>> 0, 2);
  return bytes;
}
