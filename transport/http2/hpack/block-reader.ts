// Reads the primitive types of RFC 7541, 5 out of one header block: nothing beyond its end, and
// nothing that is larger than it can be.
import { HpackError } from './hpack-error.ts';
import { MAX_INTEGER } from './integer.ts';
import type { LiteralText } from './literal-text.ts';

const NO_BYTES = new Uint8Array(0);

export class BlockReader {
  /** Decoded bytes of the literal read last, also when it was too long to keep. */
  literalBytes = 0;
  #bytes: Uint8Array = NO_BYTES;
  #start = 0;
  #at = 0;
  #end = 0;
  readonly #text: LiteralText;

  constructor(text: LiteralText) {
    this.#text = text;
  }

  open(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#start = start;
    this.#at = start;
    this.#end = end;
  }

  /** Lets go of the bytes. */
  close(): void {
    this.#bytes = NO_BYTES;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#end;
  }

  /** Bytes read, from the block's first one. */
  get offset(): number {
    return this.#at - this.#start;
  }

  /** The next byte, which stays the next. */
  peek(): number {
    return this.#bytes[this.#at] ?? 0;
  }

  /**
   * An integer whose prefix is the bits of `prefixMask` in the next byte (5.1).
   * @throws HpackError when it is cut off or beyond MAX_INTEGER.
   */
  integer(prefixMask: number): number {
    const prefix = this.peek() & prefixMask;
    this.#at += 1;
    return prefix < prefixMask ? prefix : this.#longInteger(prefixMask);
  }

  #longInteger(prefixMask: number): number {
    let rest = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.isAtEnd) throw new HpackError('header block ends inside an integer');
      const byte = this.peek();
      this.#at += 1;
      rest |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (rest + prefixMask > MAX_INTEGER) break;
      return rest + prefixMask;
    }
    throw new HpackError(`an integer is larger than ${MAX_INTEGER}, or written too long`);
  }

  /**
   * A string literal (5.2). Undefined: it is longer than `maxBytes`, and was passed over.
   * @throws HpackError when it is cut off or no Huffman code.
   */
  literal(isSecret: boolean, maxBytes: number): string | undefined {
    if (this.isAtEnd) throw new HpackError('header block ends before a string literal');
    const isHuffman = this.peek() >= 0x80;
    const length = this.integer(0x7f);
    if (length > this.#end - this.#at) {
      throw new HpackError(`header block ends inside a string literal of ${length} bytes`);
    }
    const from = this.#at;
    this.#at += length;
    const text = this.#text.decode(this.#bytes, from, this.#at, isHuffman, isSecret, maxBytes);
    this.literalBytes = this.#text.decodedBytes;
    return text;
  }
}
