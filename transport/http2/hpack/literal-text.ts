// String literals of header blocks as text (RFC 7541, 5.2). Making a string costs more than
// decoding it, and peers send the same literals over and over: a table of fixed size remembers the
// text of literals seen twice. It depends on nothing but the bytes, so all connections of a thread
// share it.
import { byteHash } from './byte-hash.ts';
import { HpackError } from './hpack-error.ts';
import { huffmanDecode, huffmanDecodedBytes, MAX_EXPANSION } from './huffman.ts';
import { octetText } from './octets.ts';

/** Longer literals are decoded each time. */
const MAX_REMEMBERED_BYTES = 64;
/** A power of two; literals that share a slot displace each other. */
const SLOTS = 256;

const FIRST_SCRATCH_BYTES = 4096;

export class LiteralText {
  /** Decoded bytes of the literal that `decode` was last called for. */
  decodedBytes = 0;
  #scratch = Buffer.alloc(FIRST_SCRATCH_BYTES);
  readonly #keys = new Uint8Array(SLOTS * MAX_REMEMBERED_BYTES);
  /** Length of the key, with 0x80 for Huffman; 0 when the slot is free. */
  readonly #kinds = new Uint8Array(SLOTS);
  readonly #texts: string[] = new Array<string>(SLOTS).fill('');
  /** Hash of the literal last missed at a slot: only one that comes twice is remembered. */
  readonly #missed = new Int32Array(SLOTS);

  /**
   * The literal in bytes[start, end). Undefined: it is sound but longer than `maxBytes`, see
   * decodedBytes. A secret one is not remembered.
   * @throws HpackError when it is no Huffman code.
   */
  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    isHuffman: boolean,
    isSecret: boolean,
    maxBytes: number,
  ): string | undefined {
    const length = end - start;
    if (length === 0) {
      this.decodedBytes = 0;
      return '';
    }
    if (isSecret || length > MAX_REMEMBERED_BYTES) {
      return this.#text(bytes, start, end, isHuffman, maxBytes);
    }
    const hash = byteHash(bytes, start, end);
    const slot = hash & (SLOTS - 1);
    const kind = isHuffman ? length | 0x80 : length;
    if (this.#kinds[slot] === kind && this.#isKey(slot, bytes, start, length)) {
      const known = this.#texts[slot] ?? '';
      this.decodedBytes = known.length;
      if (known.length <= maxBytes) return known;
    }
    const text = this.#text(bytes, start, end, isHuffman, maxBytes);
    if (text === undefined) return undefined;
    if (this.#missed[slot] !== hash) this.#missed[slot] = hash;
    else this.#remember(slot, kind, bytes, start, end, text);
    return text;
  }

  #isKey(slot: number, bytes: Uint8Array, start: number, length: number): boolean {
    const keys = this.#keys;
    const base = slot * MAX_REMEMBERED_BYTES;
    for (let at = 0; at < length; at += 1) {
      if (keys[base + at] !== bytes[start + at]) return false;
    }
    return true;
  }

  #remember(
    slot: number,
    kind: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    text: string,
  ): void {
    const base = slot * MAX_REMEMBERED_BYTES - start;
    for (let at = start; at < end; at += 1) this.#keys[base + at] = bytes[at] ?? 0;
    this.#kinds[slot] = kind;
    this.#texts[slot] = text;
  }

  #text(
    bytes: Uint8Array,
    start: number,
    end: number,
    isHuffman: boolean,
    maxBytes: number,
  ): string | undefined {
    if (!isHuffman) {
      this.decodedBytes = end - start;
      if (this.decodedBytes > maxBytes) return undefined;
      return octetText(bytes, start, end);
    }
    let roomBytes = Math.ceil((end - start) * MAX_EXPANSION);
    if (roomBytes > maxBytes) {
      // Measured before it is stored: the scratch never outgrows what the limit allows.
      roomBytes = huffmanDecodedBytes(bytes, start, end);
      this.decodedBytes = roomBytes;
      if (roomBytes > maxBytes) return undefined;
    }
    if (this.#scratch.length < roomBytes + 1) this.#scratch = Buffer.alloc(roomBytes + 1);
    const count = huffmanDecode(bytes, start, end, this.#scratch);
    if (count < 0) throw new HpackError('a string literal is no Huffman code');
    this.decodedBytes = count;
    return octetText(this.#scratch, 0, count);
  }
}
