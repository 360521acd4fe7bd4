// The bytes that a connection has to send: frames written one behind the other into blocks, so
// that all frames of a tick leave in one write. Blocks come from a pool that the connections of a
// thread share; an idle connection holds none. Almost always the system takes all of a write at
// once: then its blocks are written again. Large payloads are passed on by reference.
import { lasting } from '../../read-memory.ts';
import { FRAME_HEADER_BYTES } from './constants.ts';

/** A block holds the frames of a busy connection's tick. */
const BLOCK_BYTES = 32_768;
/** What is left of a block when less than this is free is not worth keeping. */
const LEAST_LEFTOVER_BYTES = 2_048;
/** Blocks kept for the next tick; more are left to the garbage collector. */
const KEPT_BLOCKS = 64;
/** A payload from this size on is passed on by reference instead of copied. */
export const REFERENCE_BYTES = 8_192;
/** Below this a loop copies faster than TypedArray.set. */
const LOOP_COPY_BYTES = 64;

/** Free room for frames. What was handed out is free again when settle() says that it has left. */
export class BlockPool {
  readonly #free: Uint8Array[] = [];

  take(neededBytes: number): Uint8Array {
    const block = this.#free.pop();
    if (block !== undefined && block.length >= neededBytes) return block;
    if (block !== undefined) this.#free.push(block);
    return Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES, neededBytes));
  }

  giveBack(rest: Uint8Array): void {
    if (rest.length < LEAST_LEFTOVER_BYTES || rest.length > BLOCK_BYTES) return;
    if (this.#free.length < KEPT_BLOCKS) this.#free.push(rest);
  }
}

const EMPTY = new Uint8Array(0);
const NO_BLOCKS: Uint8Array[] = [];
/** Copies a range without a view of it; it takes any Uint8Array. */
const COPY: (
  this: Uint8Array,
  target: Uint8Array,
  at: number,
  start: number,
  end: number,
) => number = Buffer.prototype.copy;

export class Output {
  readonly #pool: BlockPool;
  #sealed: Uint8Array[] = [];
  #sealedBytes = 0;
  #block: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;
  /** Blocks that are full, before that one. */
  #full = NO_BLOCKS;
  /** The same of what was taken last: a block that is used up to #lentEnd, and full ones. */
  #lent: Uint8Array = EMPTY;
  #lentEnd = 0;
  #lentFull = NO_BLOCKS;

  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  /** Bytes that wait to be taken. */
  get sizeBytes(): number {
    return this.#sealedBytes + this.#end - this.#start;
  }

  /** All that waits, in order; the ranges stay untouched until settle(). */
  take(): Uint8Array[] {
    this.#seal();
    this.settle(false);
    const taken = this.#sealed;
    this.#sealed = [];
    this.#sealedBytes = 0;
    this.#lent = this.#block;
    this.#lentEnd = this.#end;
    this.#lentFull = this.#full;
    this.#block = EMPTY;
    this.#start = 0;
    this.#end = 0;
    this.#full = NO_BLOCKS;
    return taken;
  }

  /**
   * What becomes of the ranges that were taken last.
   * @param hasLeft nobody will read them any more; else they stay as they are for good.
   */
  settle(hasLeft: boolean): void {
    const lent = this.#lent;
    if (lent === EMPTY) return;
    if (hasLeft) for (const block of this.#lentFull) this.#pool.giveBack(block);
    this.#pool.giveBack(hasLeft ? lent : lent.subarray(this.#lentEnd));
    this.#lent = EMPTY;
    this.#lentFull = NO_BLOCKS;
  }

  /** Drops what waits. */
  clear(): void {
    this.take();
    this.settle(true);
  }

  frameHeader(length: number, type: number, flags: number, streamId: number): void {
    this.#reserve(FRAME_HEADER_BYTES);
    const block = this.#block;
    const at = this.#end;
    block[at] = length >>> 16;
    block[at + 1] = length >>> 8;
    block[at + 2] = length;
    block[at + 3] = type;
    block[at + 4] = flags;
    block[at + 5] = streamId >>> 24;
    block[at + 6] = streamId >>> 16;
    block[at + 7] = streamId >>> 8;
    block[at + 8] = streamId;
    this.#end = at + FRAME_HEADER_BYTES;
  }

  /**
   * Room for a frame of `most` bytes at most: its payload is written into `block` from the offset
   * that comes back, then endFrame() says where it ended.
   */
  beginFrame(most: number): number {
    this.#reserve(FRAME_HEADER_BYTES + most);
    return this.#end + FRAME_HEADER_BYTES;
  }

  /** For beginFrame() only. */
  get block(): Uint8Array {
    return this.#block;
  }

  endFrame(end: number, type: number, flags: number, streamId: number): void {
    this.frameHeader(end - this.#end - FRAME_HEADER_BYTES, type, flags, streamId);
    this.#end = end;
  }

  uint16(value: number): void {
    this.#reserve(2);
    this.#block[this.#end++] = value >>> 8;
    this.#block[this.#end++] = value;
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#block[this.#end++] = value >>> 24;
    this.#block[this.#end++] = value >>> 16;
    this.#block[this.#end++] = value >>> 8;
    this.#block[this.#end++] = value;
  }

  /** Copies the range; nobody else's memory is kept. */
  copy(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#reserve(length);
    if (length <= LOOP_COPY_BYTES) {
      const block = this.#block;
      let to = this.#end;
      for (let from = start; from < end; from++) block[to++] = bytes[from] ?? 0;
    } else if (start === 0 && end === bytes.length) this.#block.set(bytes, this.#end);
    else COPY.call(bytes, this.#block, this.#end, start, end);
    this.#end += length;
  }

  /** A payload: copied when small; when large, kept by reference until the socket has sent it. */
  payload(bytes: Uint8Array, start: number, end: number): void {
    if (end - start < REFERENCE_BYTES) {
      this.copy(bytes, start, end);
      return;
    }
    this.#seal();
    this.#sealed.push(lasting(bytes, start, end));
    this.#sealedBytes += end - start;
  }

  #reserve(neededBytes: number): void {
    if (this.#block.length - this.#end >= neededBytes) return;
    this.#seal();
    if (this.#block !== EMPTY) {
      if (this.#full === NO_BLOCKS) this.#full = [];
      this.#full.push(this.#block);
    }
    this.#block = this.#pool.take(neededBytes);
    this.#start = 0;
    this.#end = 0;
  }

  #seal(): void {
    if (this.#end === this.#start) return;
    this.#sealed.push(this.#block.subarray(this.#start, this.#end));
    this.#sealedBytes += this.#end - this.#start;
    this.#start = this.#end;
  }
}
