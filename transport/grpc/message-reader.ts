// Cuts messages out of the content of one direction of a call, in whatever pieces it comes. A
// message that lies in one piece is a view of it; one that spans pieces is copied together as they
// come, into memory that grows with what has come, so that a length alone makes nobody allocate.
import { Code, StatusError } from '../../common/status.ts';
import { lasting, READ_BUFFER } from '../read-memory.ts';
import { messageTooLarge, PREFIX_BYTES } from './message-prefix.ts';

/** A spanning message begins with no more room than this ... */
const FIRST_ROOM_BYTES = 64 * 1024;
/** ... and gets so many times more when it is full: what is copied again stays under a 7th. */
const ROOM_GROWTH = 8;
/** Shorter pieces that wait are put together, so that many small ones don't cost a view each. */
const SMALL_PIECE_BYTES = 1024;
const GATHERED_BYTES = 16 * 1024;

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** The first of the rooms whose last is `lengthBytes`, each ROOM_GROWTH times the one before. */
function firstRoom(lengthBytes: number): number {
  let room = lengthBytes;
  while (room > FIRST_ROOM_BYTES) room = Math.ceil(room / ROOM_GROWTH);
  return room;
}

interface Piece {
  readonly bytes: Uint8Array;
  readonly start: number;
  end: number;
  /** Memory of our own, of GATHERED_BYTES: more can be put behind `end`. */
  readonly isGathered: boolean;
}

export class MessageReader {
  /** Of the message that `next` gave last. */
  isCompressed = false;
  readonly #maxMessageBytes: number;

  // The piece being read, and those behind it.
  #bytes = NO_BYTES;
  #at = 0;
  #end = 0;
  #waiting: Piece[] = [];
  #consumedBytes = 0;

  /** Bytes of the prefix that have come, when it spans pieces. */
  #prefixCount = 0;
  #prefix: Uint8Array = NO_BYTES;
  /** The message being put together; undefined: none is. */
  #room: Uint8Array | undefined;
  #roomCount = 0;
  #lengthBytes = 0;

  /** @param maxMessageBytes as it is on the wire, without its prefix. */
  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /**
   * More content: bytes[start, end). Nothing is read yet; what next() does not take before the call
   * that brought them ends is to be kept by keepRest().
   */
  push(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    if (start === end) return;
    if (this.#at === this.#end && this.#waiting.length === 0) {
      this.#bytes = bytes;
      this.#at = start;
      this.#end = end;
      return;
    }
    const sizeBytes = end - start;
    const last = this.#waiting.at(-1);
    if (sizeBytes >= SMALL_PIECE_BYTES) {
      const kept = lasting(bytes, start, end);
      this.#waiting.push({ bytes: kept, start: 0, end: kept.length, isGathered: false });
    } else if (last?.isGathered === true && last.end + sizeBytes <= GATHERED_BYTES) {
      last.bytes.set(bytes.subarray(start, end), last.end);
      last.end += sizeBytes;
    } else {
      const gathered = Buffer.allocUnsafeSlow(GATHERED_BYTES);
      gathered.set(bytes.subarray(start, end));
      this.#waiting.push({ bytes: gathered, start: 0, end: sizeBytes, isGathered: true });
    }
  }

  /**
   * The next whole message, undefined when it has not come yet. It must not be changed: others may
   * lie in the same memory.
   * @throws StatusError RESOURCE_EXHAUSTED when it is announced as larger than the limit, INTERNAL
   * when its prefix is none; the reader must not be used after that.
   */
  next(): Uint8Array | undefined {
    for (;;) {
      if (this.#room !== undefined) {
        if (this.#fill()) return this.#finish();
      } else if (this.#hasPrefix()) {
        const message = this.#begin();
        if (message !== undefined) return message;
      }
      if (this.#at === this.#end && !this.#advance()) return undefined;
    }
  }

  /** What was pushed and not taken stays as it is from here on. */
  keepRest(): void {
    if (this.#bytes !== READ_BUFFER) return;
    this.#bytes = lasting(this.#bytes, this.#at, this.#end);
    this.#at = 0;
    this.#end = this.#bytes.length;
  }

  /**
   * Bytes that were taken since this was last asked: of messages given, and of one that is being
   * put together. The peer may send as many again; what waits is not among them.
   */
  takeConsumedBytes(): number {
    const bytes = this.#consumedBytes;
    this.#consumedBytes = 0;
    return bytes;
  }

  /**
   * The content has ended, and `next` has given all.
   * @throws StatusError INTERNAL when it ended inside a message.
   */
  end(): void {
    if (this.#room === undefined && this.#prefixCount === 0 && this.#at === this.#end) return;
    const where =
      this.#room === undefined ? 'its prefix' : `byte ${this.#roomCount} of ${this.#lengthBytes}`;
    throw new StatusError(Code.INTERNAL, `content ended inside a message, in ${where}`);
  }

  /** False when nothing waits. */
  #advance(): boolean {
    const piece = this.#waiting.shift();
    this.#bytes = piece?.bytes ?? NO_BYTES;
    this.#at = piece?.start ?? 0;
    this.#end = piece?.end ?? 0;
    return piece !== undefined;
  }

  /** True: all of a prefix is in the piece, or was put together in #prefix. */
  #hasPrefix(): boolean {
    const hasBytes = this.#end - this.#at;
    if (this.#prefixCount === 0 && hasBytes >= PREFIX_BYTES) return true;
    if (hasBytes === 0) return false;
    if (this.#prefix === NO_BYTES) this.#prefix = new Uint8Array(PREFIX_BYTES);
    while (this.#prefixCount < PREFIX_BYTES && this.#at < this.#end) {
      this.#prefix[this.#prefixCount] = this.#bytes[this.#at] ?? 0;
      this.#prefixCount += 1;
      this.#at += 1;
      this.#consumedBytes += 1;
    }
    return this.#prefixCount === PREFIX_BYTES;
  }

  /** Takes the prefix; the message too when all of it is in the piece. */
  #begin(): Uint8Array | undefined {
    const isInPiece = this.#prefixCount === 0;
    const bytes = isInPiece ? this.#bytes : this.#prefix;
    const at = isInPiece ? this.#at : 0;
    const flag = bytes[at] ?? 0;
    const high = ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const length = high * 0x10000 + (((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0));
    if (flag > 1) {
      const text = `a message begins with flag ${flag}, only 0 and 1 (compressed) have a meaning`;
      throw new StatusError(Code.INTERNAL, text);
    }
    if (length > this.#maxMessageBytes) throw messageTooLarge(length, this.#maxMessageBytes);
    if (isInPiece) {
      this.#at += PREFIX_BYTES;
      this.#consumedBytes += PREFIX_BYTES;
    }
    this.#prefixCount = 0;
    this.isCompressed = flag === 1;
    if (length > this.#end - this.#at) {
      this.#lengthBytes = length;
      this.#roomCount = 0;
      this.#room = Buffer.allocUnsafe(firstRoom(length));
      return undefined;
    }
    const start = this.#at;
    this.#at += length;
    this.#consumedBytes += length;
    return length === 0 ? NO_BYTES : lasting(this.#bytes, start, this.#at);
  }

  /** Copies what the piece has of the message; true when it is whole. */
  #fill(): boolean {
    const count = Math.min(this.#end - this.#at, this.#lengthBytes - this.#roomCount);
    const room = this.#roomFor(this.#roomCount + count);
    room.set(this.#bytes.subarray(this.#at, this.#at + count), this.#roomCount);
    this.#roomCount += count;
    this.#at += count;
    this.#consumedBytes += count;
    return this.#roomCount === this.#lengthBytes;
  }

  #roomFor(bytes: number): Uint8Array {
    let room = this.#room ?? NO_BYTES;
    if (bytes <= room.length) return room;
    let roomBytes = room.length;
    while (roomBytes < bytes) roomBytes = Math.min(roomBytes * ROOM_GROWTH, this.#lengthBytes);
    const larger = Buffer.allocUnsafeSlow(roomBytes);
    larger.set(room.subarray(0, this.#roomCount));
    room = larger;
    this.#room = room;
    return room;
  }

  #finish(): Uint8Array {
    const message = this.#room ?? NO_BYTES;
    this.#room = undefined;
    return message;
  }
}
