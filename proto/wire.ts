// Reads the protobuf wire format in place: tags, varints and lengths out of bytes that may be
// hostile. Nothing is copied, and nothing is allocated that the caller did not ask for. Never reads
// past its end; whatever the format does not allow ends in INVALID_ARGUMENT. Limits are those of
// protobuf's own parsers: tags and lengths in 5 bytes, groups 100 deep.
// Source: protobuf.dev/programming-guides/encoding.
import { isUtf8 } from 'node:buffer';
import { invalidArgument, type StatusError } from '../common/status.ts';

/** The low three bits of a tag. */
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

/** A position in bytes[position, end). After a throw it is of no further use. */
export class WireReader {
  readonly bytes: Buffer;
  position: number;
  end: number;
  /** Halves of what varint() read last, each 0 to 2^32 - 1. */
  low = 0;
  high = 0;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = start;
    this.end = Math.min(end, bytes.length);
  }

  /** Field number << 3 | wire type, as an unsigned 32-bit number; 0 at the end. */
  tag(): number {
    const start = this.position;
    if (start >= this.end) return 0;
    // Fields 1 to 15, which are nearly all.
    const first = this.bytes[start] ?? 0;
    if (first >= 8 && first < 0x80) {
      this.position = start + 1;
      return first;
    }
    const tag = this.#varint32();
    if (tag >>> 3 === 0) throw malformed(start, 'a field number must be at least 1');
    return tag;
  }

  /** Length of what follows, which is wholly there. */
  length(): number {
    const start = this.position;
    const length = this.#varint32();
    const left = this.end - this.position;
    if (length > left) throw malformed(start, `${length} bytes are announced, ${left} are left`);
    return length;
  }

  /** Any varint, into `low` and `high`. */
  varint(): void {
    const { bytes, end } = this;
    let at = this.position;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) throw cutOff(at);
      const byte = bytes[at++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.position = at;
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw malformed(this.position, 'a varint has more than 10 bytes');
  }

  /** A signed varint as a number; exact within +-2^53, else Infinity or -Infinity. */
  int64(): number {
    this.varint();
    const value = (this.high | 0) * 2 ** 32 + this.low;
    if (Number.isSafeInteger(value)) return value;
    return value < 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  /** Any varint as its 64 bits, unsigned. */
  uint64(): bigint {
    this.varint();
    return (BigInt(this.high) << 32n) | BigInt(this.low);
  }

  double(): number {
    const start = this.position;
    this.#advance(8);
    return this.bytes.readDoubleLE(start);
  }

  /** A view of a field of bytes. */
  view(): Buffer {
    const length = this.length();
    const start = this.position;
    this.position = start + length;
    return this.bytes.subarray(start, this.position);
  }

  /** A string field. @throws INVALID_ARGUMENT when it is not UTF-8 (proto3 demands it) */
  text(): string {
    const length = this.length();
    const start = this.position;
    this.position = start + length;
    return decodeText(this.bytes, start, this.position);
  }

  /** Steps into a message field; `leave` takes what this returned. */
  enter(): number {
    const outerEnd = this.end;
    const length = this.length();
    this.end = this.position + length;
    return outerEnd;
  }

  leave(outerEnd: number): void {
    this.position = this.end;
    this.end = outerEnd;
  }

  /** Moves past a field's value. */
  skip(tag: number): void {
    if (!this.#skipPlain(tag & 7)) this.#skipGroup(tag >>> 3);
  }

  #varint32(): number {
    const { bytes, end, position: start } = this;
    let at = start;
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      if (at >= end) throw cutOff(at);
      const byte = bytes[at++] ?? 0;
      if (shift === 28 && byte > 0x0f) throw malformed(start, 'a tag or length exceeds 32 bits');
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.position = at;
        return value >>> 0;
      }
    }
  }

  #advance(count: number): void {
    if (count > this.end - this.position) throw cutOff(this.position);
    this.position += count;
  }

  /** False: a group starts here. */
  #skipPlain(wireType: number): boolean {
    if (wireType === WireType.BYTES) this.#advance(this.length());
    else if (wireType === WireType.VARINT) this.varint();
    else if (wireType === WireType.FIXED32) this.#advance(4);
    else if (wireType === WireType.FIXED64) this.#advance(8);
    else if (wireType === WireType.START_GROUP) return false;
    else throw malformed(this.position, `wire type ${wireType} is not allowed here`);
    return true;
  }

  /** Groups are no longer written, but still are part of the format. */
  #skipGroup(number: number): void {
    const open = [number];
    while (open.length > 0) {
      const start = this.position;
      const tag = this.tag();
      if (tag === 0) throw cutOff(start);
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

/** bytes[start, end) as text. @throws INVALID_ARGUMENT when it is not UTF-8 */
export function decodeText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  // A replacement character was sent as one, or stands for bytes that are no UTF-8.
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end))) {
    throw malformed(start, 'a string is not valid UTF-8');
  }
  return text;
}

/** INVALID_ARGUMENT that names the place. */
export function malformed(position: number, why: string): StatusError {
  return invalidArgument(`request is not a valid protobuf message: at byte ${position}, ${why}`);
}

function cutOff(position: number): StatusError {
  return malformed(position, 'the message ends inside a field');
}
