// Reads the protobuf wire format in place: tags, varints and lengths out of bytes that may be
// hostile. Never reads past its end; whatever the format does not allow ends in INVALID_ARGUMENT.
// Limits are those of protobuf's own parsers: tags and lengths in 5 bytes, groups 100 deep.
import { Code, StatusError } from '../common/status.ts';

/** Wire types (protobuf.dev/programming-guides/encoding). */
export const WireType = {
  VARINT: 0,
  FIXED64: 1,
  BYTES: 2,
  START_GROUP: 3,
  END_GROUP: 4,
  FIXED32: 5,
} as const;

/** Groups nested deeper are refused with INVALID_ARGUMENT. */
const MAX_GROUP_DEPTH = 100;
const MAX_LENGTH_BYTES = 2 ** 31 - 1;

/** A position in bytes[position, end). After a throw it is of no further use. */
export class WireReader {
  readonly bytes: Uint8Array;
  position: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = start;
    this.end = Math.min(end, bytes.length);
  }

  get isDone(): boolean {
    return this.position >= this.end;
  }

  /** Field number << 3 | wire type, as an unsigned 32-bit number. */
  tag(): number {
    const start = this.position;
    const tag = this.#varint32();
    if (tag >>> 3 === 0) throw malformed(start, 'a field number must be at least 1');
    return tag;
  }

  /** Length of what follows, which is wholly there. */
  length(): number {
    const start = this.position;
    const length = this.#varint32();
    if (length > MAX_LENGTH_BYTES || length > this.end - this.position) {
      throw malformed(start, `${length} bytes are announced, ${this.end - this.position} are left`);
    }
    return length;
  }

  /** Any varint as its 64 bits, unsigned. */
  uint64(): bigint {
    const start = this.position;
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw malformed(start, 'a varint has more than 10 bytes');
  }

  /** Moves past a field's value. */
  skip(tag: number): void {
    if (!this.#skipPlain(tag & 7)) this.#skipGroup(tag >>> 3);
  }

  #byte(): number {
    const byte = this.position < this.end ? this.bytes[this.position] : undefined;
    if (byte === undefined) throw malformed(this.position, 'the message ends inside a field');
    this.position++;
    return byte;
  }

  #varint32(): number {
    const start = this.position;
    let byte = this.#byte();
    let value = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = this.#byte();
      if (shift === 28 && byte > 0x0f) throw malformed(start, 'a tag or length exceeds 32 bits');
      value |= (byte & 0x7f) << shift;
    }
    return value >>> 0;
  }

  #advance(count: number): void {
    if (count > this.end - this.position) {
      throw malformed(this.position, 'the message ends inside a field');
    }
    this.position += count;
  }

  /** False: a group starts here. */
  #skipPlain(wireType: number): boolean {
    if (wireType === WireType.BYTES) this.#advance(this.length());
    else if (wireType === WireType.VARINT) this.#skipVarint();
    else if (wireType === WireType.FIXED32) this.#advance(4);
    else if (wireType === WireType.FIXED64) this.#advance(8);
    else if (wireType === WireType.START_GROUP) return false;
    else throw malformed(this.position, `wire type ${wireType} is not allowed here`);
    return true;
  }

  #skipVarint(): void {
    const start = this.position;
    while (this.#byte() >= 0x80) {
      if (this.position - start >= 10) throw malformed(start, 'a varint has more than 10 bytes');
    }
  }

  /** Groups are no longer written, but still are part of the format. */
  #skipGroup(number: number): void {
    const open = [number];
    while (open.length > 0) {
      const start = this.position;
      const tag = this.tag();
      if ((tag & 7) === WireType.END_GROUP) {
        if (open.pop() !== tag >>> 3) throw malformed(start, 'a group ends that is not open');
      } else if (!this.#skipPlain(tag & 7)) {
        if (open.push(tag >>> 3) > MAX_GROUP_DEPTH) {
          throw malformed(start, `groups are nested more than ${MAX_GROUP_DEPTH} deep`);
        }
      }
    }
  }
}

/** INVALID_ARGUMENT that names the place. */
export function malformed(position: number, why: string): StatusError {
  return new StatusError(
    Code.INVALID_ARGUMENT,
    `request is not a valid protobuf message: at byte ${position}, ${why}`,
  );
}
