// Finds frames in the chunks of a connection. A frame that lies within a chunk is passed on as a
// range of that chunk; only a frame cut by a chunk's end is put together in memory of its own, at
// most the largest frame that we accept, and never more than twice what has come of it. DATA that
// is cut is passed on in parts, as if it were several frames: large content is never put together.
import { ErrorCode, Flag, FRAME_HEADER_BYTES, FrameType } from './constants.ts';
import { checkFrameHeader, readUint32, type ShapeError } from './frame-shape.ts';

/**
 * Takes frames as numbers; `bytes` from `start` to `end` is the payload. It may lie in READ_BUFFER:
 * who keeps it beyond the call asks lasting() for it.
 */
export interface FrameSink {
  /** False stops the reader for good: the rest of the bytes is dropped. */
  onFrame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean;
  /** A frame of the wrong shape; one that is wrong for its stream alone is skipped on true. */
  onMisshapen(error: ShapeError, type: number, streamId: number): boolean;
}

const TOO_LARGE: ShapeError = {
  code: ErrorCode.FRAME_SIZE_ERROR,
  ofStream: false,
  message: 'the frame is larger than SETTINGS_MAX_FRAME_SIZE',
};
const EMPTY = new Uint8Array(0);
const FIRST_CARRY_BYTES = 1024;
/** Of a DATA frame that is cut, a part of this size is given at once, as a frame of its own. */
const LEAST_PART_BYTES = 2048;

export class FrameReader {
  readonly #maxFrameBytes: number;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  /** The payload being put together; its final length once the header is whole. */
  #payload: Uint8Array = EMPTY;
  #payloadFilled = 0;
  #length = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  #skipping = false;
  #stopped = false;

  /** @param maxFrameBytes our SETTINGS_MAX_FRAME_SIZE: a larger frame ends the connection. */
  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Whether a frame has come in part. */
  get midFrame(): boolean {
    return this.#headerFilled > 0;
  }

  /** Memory held for a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#payload.length;
  }

  /** Nothing more is read. */
  stop(): void {
    this.#stopped = true;
    this.#payload = EMPTY;
  }

  /** The frames of chunk[from, end), in order; what is cut at its end waits for the next. */
  read(chunk: Uint8Array, sink: FrameSink, from = 0, end: number = chunk.length): void {
    let at = this.#headerFilled > 0 ? this.#resume(chunk, from, end, sink) : from;
    while (!this.#stopped && end - at >= FRAME_HEADER_BYTES) {
      const first = readUint32(chunk, at);
      const length = first >>> 8;
      const type = first & 0xff;
      const flags = chunk[at + 4] ?? 0;
      const streamId = readUint32(chunk, at + 5) & 0x7fffffff;
      at += FRAME_HEADER_BYTES;
      if (!this.#accepts(type, flags, streamId, length, sink)) return;
      if (end - at < length) {
        this.#begin(type, flags, streamId, length);
        this.#takeCut(chunk, at, end, sink);
        return;
      }
      if (this.#skipping) this.#skipping = false;
      else if (!sink.onFrame(type, flags, streamId, chunk, at, at + length)) this.stop();
      at += length;
    }
    if (!this.#stopped) this.#fillHeader(chunk, at, end);
  }

  /** Goes on with the frame that the last chunk cut; returns where the next one starts. */
  #resume(chunk: Uint8Array, from: number, end: number, sink: FrameSink): number {
    let at = this.#fillHeader(chunk, from, end);
    if (this.#headerFilled < FRAME_HEADER_BYTES) return at;
    if (this.#payloadFilled < 0) {
      const first = readUint32(this.#header, 0);
      const streamId = readUint32(this.#header, 5) & 0x7fffffff;
      const [type, flags] = [first & 0xff, this.#header[4] ?? 0];
      if (!this.#accepts(type, flags, streamId, first >>> 8, sink)) return end;
      this.#begin(type, flags, streamId, first >>> 8);
    }
    if (this.#payloadFilled === 0 && end - at >= this.#length) {
      return this.#takeRest(chunk, at, sink);
    }
    at = this.#takeCut(chunk, at, end, sink);
    if (this.#payloadFilled < this.#length) return at;
    this.#headerFilled = 0;
    const payload = this.#payload;
    this.#payload = EMPTY;
    if (this.#skipping) this.#skipping = false;
    else if (!sink.onFrame(this.#type, this.#flags, this.#streamId, payload, 0, this.#length)) {
      this.stop();
    }
    return at;
  }

  /** All that is missing of a frame stands in the chunk: nothing has to be put together. */
  #takeRest(chunk: Uint8Array, at: number, sink: FrameSink): number {
    const end = at + this.#length;
    this.#headerFilled = 0;
    if (this.#skipping) this.#skipping = false;
    else if (!sink.onFrame(this.#type, this.#flags, this.#streamId, chunk, at, end)) this.stop();
    return end;
  }

  /** A frame that goes on behind the chunk: content is given as it comes, the rest is kept. */
  #takeCut(chunk: Uint8Array, at: number, end: number, sink: FrameSink): number {
    const isContent = this.#type === FrameType.DATA && (this.#flags & Flag.PADDED) === 0;
    const isWorth = end - at >= LEAST_PART_BYTES && end - at < this.#length;
    if (!(isContent && isWorth) || this.#payloadFilled > 0 || this.#skipping) {
      return this.#fill(chunk, at, end);
    }
    const flags = this.#flags & ~Flag.END_STREAM;
    this.#length -= end - at;
    if (!sink.onFrame(this.#type, flags, this.#streamId, chunk, at, end)) this.stop();
    return end;
  }

  #accepts(type: number, flags: number, streamId: number, length: number, sink: FrameSink) {
    const error =
      length > this.#maxFrameBytes ? TOO_LARGE : checkFrameHeader(type, flags, streamId, length);
    if (error === undefined) return true;
    this.#skipping = sink.onMisshapen(error, type, streamId) && error.ofStream;
    if (!this.#skipping) this.stop();
    return this.#skipping;
  }

  #begin(type: number, flags: number, streamId: number, length: number): void {
    this.#headerFilled = FRAME_HEADER_BYTES;
    this.#type = type;
    this.#flags = flags;
    this.#streamId = streamId;
    this.#length = length;
    this.#payloadFilled = 0;
  }

  #fillHeader(chunk: Uint8Array, at: number, end: number): number {
    const take = Math.min(FRAME_HEADER_BYTES - this.#headerFilled, end - at);
    for (let i = 0; i < take; i++) this.#header[this.#headerFilled + i] = chunk[at + i] ?? 0;
    this.#headerFilled += take;
    if (take > 0) this.#payloadFilled = -1;
    return at + take;
  }

  #fill(chunk: Uint8Array, at: number, end: number): number {
    const take = Math.min(this.#length - this.#payloadFilled, end - at);
    if (!this.#skipping && take > 0) {
      this.#makeRoom(this.#payloadFilled + take);
      this.#payload.set(chunk.subarray(at, at + take), this.#payloadFilled);
    }
    this.#payloadFilled += take;
    return at + take;
  }

  #makeRoom(neededBytes: number): void {
    if (this.#payload.length >= neededBytes) return;
    const wanted = Math.max(neededBytes, this.#payload.length * 2, FIRST_CARRY_BYTES);
    const grown = Buffer.allocUnsafeSlow(Math.min(wanted, this.#length));
    grown.set(this.#payload.subarray(0, Math.max(this.#payloadFilled, 0)));
    this.#payload = grown;
  }
}
