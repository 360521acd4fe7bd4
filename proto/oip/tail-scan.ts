// Watches the rest of a message that is passed on while it comes: that nothing in it says once
// more which model it is for, since that has been decided. Steps over fields in pieces of any size
// and keeps nothing but where it stands. Sizes of fields: protobuf.dev/programming-guides/encoding
import { malformed, WireType } from '../wire.ts';
import { isNamingField } from './scan.ts';

/** Groups nested deeper are refused with INVALID_ARGUMENT, as by WireReader. */
const MAX_GROUP_DEPTH = 100;
const MAX_VARINT_BYTES = 10;
const FIXED64_BYTES = 8;
const FIXED32_BYTES = 4;

type Part = 'tag' | 'length' | 'varint';

export class TailScan {
  readonly #path: string;
  #part: Part = 'tag';
  /** The varint being read: its value so far, and how many bytes of it have come. */
  #value = 0;
  #count = 0;
  #skipBytes = 0;
  #depth = 0;
  /** Offset in the message of the next byte. */
  #at: number;

  /** @param at offset of the first byte to come; a field begins there */
  constructor(path: string, at: number) {
    this.#path = path;
    this.#at = at;
  }

  /**
   * The next bytes of the message.
   * @throws INVALID_ARGUMENT for a second naming field, or what is no protobuf
   */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#skipBytes > 0) {
        const step = Math.min(this.#skipBytes, bytes.length - at);
        this.#skipBytes -= step;
        this.#at += step;
        at += step;
        continue;
      }
      this.#byte(bytes[at] as number);
      at += 1;
      this.#at += 1;
    }
  }

  #byte(byte: number): void {
    this.#value += (byte & 0x7f) * 2 ** (7 * this.#count);
    this.#count += 1;
    if (byte >= 0x80) {
      if (this.#count === MAX_VARINT_BYTES) {
        throw malformed(this.#at, 'a varint has more than 10 bytes');
      }
      return;
    }
    const value = this.#value;
    this.#value = 0;
    this.#count = 0;
    if (this.#part === 'length') this.#skipBytes = value;
    const isTag = this.#part === 'tag';
    this.#part = 'tag';
    if (isTag) this.#began(value);
  }

  #began(tag: number): void {
    const number = Math.floor(tag / 8);
    if (number === 0 || tag >= 2 ** 32) throw malformed(this.#at, 'this is no field number');
    if (this.#depth === 0 && isNamingField(this.#path, number)) {
      throw malformed(
        this.#at,
        `field ${number} says behind the tensors which model, version or parameters this is for: ` +
          'in a large request it must come first',
      );
    }

    switch (tag % 8) {
      case WireType.VARINT:
        this.#part = 'varint';
        return;
      case WireType.BYTES:
        this.#part = 'length';
        return;
      case WireType.FIXED64:
        this.#skipBytes = FIXED64_BYTES;
        return;
      case WireType.FIXED32:
        this.#skipBytes = FIXED32_BYTES;
        return;
      case WireType.START_GROUP:
        this.#depth += 1;
        if (this.#depth > MAX_GROUP_DEPTH) throw malformed(this.#at, 'groups are nested too deep');
        return;
      case WireType.END_GROUP:
        this.#depth -= 1;
        if (this.#depth < 0) throw malformed(this.#at, 'a group ends that has not begun');
        return;
      default:
        throw malformed(this.#at, 'this is no wire type');
    }
  }
}
