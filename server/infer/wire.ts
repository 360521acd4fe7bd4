// Reading protobuf's wire format where it lies: nothing is copied, and nothing is allocated before
// the caller has looked at it. The generated decoders build an object for every element of a
// message of any size (millions of empty views from 64 MiB); this one lets each message set its
// own limits. Source: protobuf.dev/programming-guides/encoding.
import { isUtf8 } from 'node:buffer';
import { invalidArgument, type StatusError } from '../../common/status.ts';

export function malformed(what: string): StatusError {
  return invalidArgument(`request is not a valid protobuf message: ${what}`);
}

/** A view of the same memory as a Buffer, whose string decoding is the fast one. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Walks over the fields between two positions. Throws only INVALID_ARGUMENT. */
export class WireReader {
  readonly bytes: Buffer;
  position: number;
  end: number;
  /** Words of the varint read last, each 0 to 2^32 - 1. */
  low = 0;
  high = 0;

  constructor(bytes: Buffer, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  /** The next field's tag (number << 3 | wire type), or 0 at the end. */
  tag(): number {
    if (this.position >= this.end) return 0;
    this.varint();
    if (this.high !== 0 || this.low >>> 3 === 0) throw malformed('a tag is out of range');
    return this.low;
  }

  /** Reads 1 to 10 bytes into `low` and `high`. */
  varint(): void {
    const { bytes, end } = this;
    let at = this.position;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) throw malformed('a number is cut off');
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
    throw malformed('a number is longer than 10 bytes');
  }

  /** The varint as a number; exact within +-2^53, else Infinity or -Infinity. */
  int64(): number {
    this.varint();
    const value = (this.high | 0) * 2 ** 32 + this.low;
    if (Number.isSafeInteger(value)) return value;
    return value < 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  bigint(): bigint {
    this.varint();
    return (BigInt(this.high | 0) << 32n) | BigInt(this.low);
  }

  double(): number {
    this.#need(8);
    this.position += 8;
    return this.bytes.readDoubleLE(this.position - 8);
  }

  /** Reads a length; the `length` bytes from `position` are then known to be there. */
  length(): number {
    this.varint();
    if (this.high !== 0) throw malformed('a length is out of range');
    const { low } = this;
    this.#need(low);
    return low;
  }

  view(): Buffer {
    const length = this.length();
    this.position += length;
    return this.bytes.subarray(this.position - length, this.position);
  }

  /** A string field. @throws INVALID_ARGUMENT when it is not UTF-8 (proto3 demands it). */
  text(): string {
    const length = this.length();
    const start = this.position;
    this.position = start + length;
    const text = this.bytes.toString('utf8', start, this.position);
    // A replacement character in the text: it was sent as one, or stands for bytes that are no
    // UTF-8.
    if (text.includes('\ufffd') && !isUtf8(this.bytes.subarray(start, this.position))) {
      throw malformed('a text is not UTF-8');
    }
    return text;
  }

  /** Steps into a length-delimited field; `leave` takes what this returned. */
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

  /** Passes over a field that is of no interest. */
  skip(tag: number): void {
    const wireType = tag & 7;
    let size = 0;
    if (wireType === 0) this.varint();
    else if (wireType === 1) size = 8;
    else if (wireType === 2) size = this.length();
    else if (wireType === 5) size = 4;
    else throw malformed(`wire type ${wireType} is not supported`);
    this.#need(size);
    this.position += size;
  }

  #need(size: number): void {
    if (size > this.end - this.position) throw malformed('a field is cut off');
  }
}
