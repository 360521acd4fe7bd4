// RFC 7541 decoded in the plainest way, to compare with: no caches, no limits but those on
// integers, every entry of the table in an array.
import { huffmanDecode } from '../../transport/http2/hpack/huffman.ts';
import { STATIC_TABLE } from '../../transport/http2/hpack/static-table.ts';

export type Field = readonly [name: string, value: string];

const MAX_INTEGER = 2 ** 28 - 1;
const MAX_CONTINUATIONS = 4;

/** What is wrong with a block. */
export class WrongBlock extends Error {}

export class ReferenceHpack {
  #table: Field[] = [];
  #capacityBytes = 4_096;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;

  get tableBytes(): number {
    return this.#table.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
  }

  /** @throws WrongBlock, after which nothing more can be decoded. */
  decode(bytes: Uint8Array): Field[] {
    this.#bytes = bytes;
    this.#at = 0;
    const fields: Field[] = [];
    let isStart = true;
    while (this.#at < bytes.length) {
      const first = bytes[this.#at] ?? 0;
      if ((first & 0xe0) === 0x20) {
        const capacity = this.#integer(5);
        if (!isStart || capacity > 4_096) throw new WrongBlock('size update');
        this.#capacityBytes = capacity;
        this.#evict();
        continue;
      }
      isStart = false;
      fields.push(this.#field(first));
    }
    return fields;
  }

  #field(first: number): Field {
    if (first >= 0x80) return this.#entry(this.#integer(7));
    const isKept = first >= 0x40;
    const index = this.#integer(isKept ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#entry(index)[0];
    const field: Field = [name, this.#string()];
    if (isKept) {
      this.#table.unshift(field);
      this.#evict();
    }
    return field;
  }

  #evict(): void {
    while (this.tableBytes > this.#capacityBytes) this.#table.pop();
  }

  #entry(index: number): Field {
    if (index === 0) throw new WrongBlock('index 0');
    const known = STATIC_TABLE[index - 1];
    if (known !== undefined) return [known.name, known.value];
    const entry = this.#table[index - 1 - STATIC_TABLE.length];
    if (entry === undefined) throw new WrongBlock('no such entry');
    return entry;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new WrongBlock('cut off');
    this.#at += 1;
    return byte;
  }

  #integer(prefixBits: number): number {
    const mask = 2 ** prefixBits - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let i = 0; i < MAX_CONTINUATIONS; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte >= 0x80) continue;
      if (value > MAX_INTEGER) throw new WrongBlock('too large');
      return value;
    }
    throw new WrongBlock('too long');
  }

  #string(): string {
    const isHuffman = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    if (this.#at + length > this.#bytes.length) throw new WrongBlock('cut off');
    const from = this.#at;
    this.#at += length;
    if (!isHuffman) return Buffer.from(this.#bytes.subarray(from, this.#at)).toString('latin1');
    const text = Buffer.alloc(length * 2 + 1);
    const count = huffmanDecode(this.#bytes, from, this.#at, text);
    if (count < 0) throw new WrongBlock('no Huffman code');
    return text.toString('latin1', 0, count);
  }
}
