// One HTTP/2 connection of a load generator: the same unary call again and again, without an object
// a call. It reads frame headers, the status of trailers and whether an answer holds anything,
// and nothing else: no server is tested by it, only measured. What it does not expect fails it.
import type { Socket } from 'node:net';
import {
  DEFAULT_WINDOW_BYTES,
  errorName,
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  frameName,
  MAX_STREAM_ID,
  MIN_MAX_FRAME_BYTES,
  SettingId,
} from '../transport/http2/frames/constants.ts';
import {
  headersPrefixBytes,
  paddingBytes,
  readUint32,
} from '../transport/http2/frames/frame-shape.ts';
import { type CallTemplate, frame, opening, windowUpdate, writeUint32 } from './lean-frames.ts';
import { StatusBlocks } from './status-blocks.ts';

const CODE_UNKNOWN = 2;
const CODE_UNAVAILABLE = 14;
/** Answers' bytes after which the peer's window is opened again, long before it is used up. */
const OPEN_WINDOW_BYTES = 1_000_000_000;
/** A turn's calls leave in one write of at most this, or of one call. */
const MOST_OUTPUT_BYTES = 65_536;
const PING_BYTES = new Uint8Array(8);
const NOTHING = new Uint8Array(0);
/** Where a frame that came in two reads is put together: of the whole thread, as reads are. */
const joined = new Uint8Array(2 * 65_536 + FRAME_HEADER_BYTES + MIN_MAX_FRAME_BYTES);

export interface LeanConnectionOptions {
  readonly call: CallTemplate;
  /** Calls without an answer, a power of two: what the connection has room for. */
  readonly capacity: number;
  /** Once for each call: its gRPC status, and when it was meant to be sent. */
  onAnswer(code: number, intendedMs: number): void;
  /** The peer has told its limits. */
  onSettled(): void;
  /** No call is sent any more; those without an answer were told UNAVAILABLE. */
  onFailed(why: string): void;
}

export class LeanConnection {
  readonly #socket: Socket;
  readonly #options: LeanConnectionOptions;
  readonly #call: CallTemplate;
  readonly #mask: number;
  readonly #outputBytes: number;
  /** By stream: the slot of id 2n+1 is n, modulo the capacity. 0: free. */
  readonly #ids: Int32Array;
  readonly #intendedMs: Float64Array;
  readonly #hasContent: Uint8Array;
  readonly #statuses = new StatusBlocks();
  #output = NOTHING;
  #outputEnd = 0;
  #partial = NOTHING;
  #nextId = 1;
  #outstanding = 0;
  #mostOutstanding = Number.POSITIVE_INFINITY;
  #sendWindowBytes = DEFAULT_WINDOW_BYTES;
  #streamWindowBytes = DEFAULT_WINDOW_BYTES;
  #receivedBytes = 0;
  #failure: string | undefined;

  /** @param socket connected; its bytes go into received(). */
  constructor(socket: Socket, options: LeanConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#call = options.call;
    this.#mask = options.capacity - 1;
    const { bytes } = options.call;
    this.#outputBytes = Math.min(MOST_OUTPUT_BYTES, options.capacity * bytes.length);
    this.#ids = new Int32Array(options.capacity);
    this.#intendedMs = new Float64Array(options.capacity);
    this.#hasContent = new Uint8Array(options.capacity);
    socket.on('error', ({ message }) => this.#fail(message));
    socket.on('close', () => this.#fail('the socket was closed'));
    this.#write(opening(PING_BYTES));
    this.flush();
  }

  /** False: it has no free stream, or no window. The call leaves with flush(). */
  send(intendedMs: number): boolean {
    const { bytes, idsAt, bodyBytes } = this.#call;
    const id = this.#nextId;
    const slot = (id >>> 1) & this.#mask;
    if (
      this.#outstanding >= this.#mostOutstanding ||
      this.#sendWindowBytes < bodyBytes ||
      this.#ids[slot] !== 0 ||
      id >= MAX_STREAM_ID ||
      this.#failure !== undefined
    ) {
      return false;
    }
    const start = this.#write(bytes);
    for (let at = 0; at < idsAt.length; at += 1) {
      writeUint32(this.#output, start + (idsAt[at] ?? 0), id);
    }
    this.#ids[slot] = id;
    this.#intendedMs[slot] = intendedMs;
    this.#hasContent[slot] = 0;
    this.#nextId = id + 2;
    this.#outstanding += 1;
    this.#sendWindowBytes -= bodyBytes;
    return true;
  }

  flush(): void {
    if (this.#outputEnd === 0) return;
    this.#socket.write(this.#output.subarray(0, this.#outputEnd));
    this.#outputEnd = 0;
    // What the system did not take at once still belongs to the socket.
    if (this.#socket.writableLength > 0) this.#output = NOTHING;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** What was read: bytes[0, length), not kept. */
  received(bytes: Uint8Array, length: number): void {
    let [all, end] = [bytes, length];
    if (this.#partial.length > 0) {
      joined.set(this.#partial);
      joined.set(bytes.subarray(0, length), this.#partial.length);
      [all, end] = [joined, this.#partial.length + length];
      this.#partial = NOTHING;
    }
    let at = 0;
    while (end - at >= FRAME_HEADER_BYTES && this.#failure === undefined) {
      const payload = (((all[at] ?? 0) << 16) | ((all[at + 1] ?? 0) << 8)) + (all[at + 2] ?? 0);
      if (payload > MIN_MAX_FRAME_BYTES) {
        this.#fail(`a frame of ${payload} bytes`);
        return;
      }
      const next = at + FRAME_HEADER_BYTES + payload;
      if (next > end) break;
      this.#frame(all, at, next);
      at = next;
    }
    if (at < end) this.#partial = all.slice(at, end);
    // Answers to the peer's frames, and what an answer made the owner send.
    this.flush();
  }

  /** Behind what waits, and where it begins in the output. */
  #write(bytes: Uint8Array): number {
    if (this.#outputEnd + bytes.length > this.#output.length) {
      this.flush();
      if (this.#output.length < bytes.length) {
        this.#output = new Uint8Array(Math.max(this.#outputBytes, bytes.length));
      }
    }
    const start = this.#outputEnd;
    this.#output.set(bytes, start);
    this.#outputEnd = start + bytes.length;
    return start;
  }

  #frame(bytes: Uint8Array, at: number, end: number): void {
    const flags = bytes[at + 4] ?? 0;
    const id = readUint32(bytes, at + 5) & MAX_STREAM_ID;
    const start = at + FRAME_HEADER_BYTES;
    switch (bytes[at + 3]) {
      case FrameType.DATA:
        this.#data(flags, id, end - start);
        break;
      case FrameType.HEADERS:
        this.#headers(flags, id, bytes, start, end);
        break;
      case FrameType.SETTINGS:
        this.#settings(flags, bytes, start, end);
        break;
      case FrameType.WINDOW_UPDATE:
        if (id === 0) this.#sendWindowBytes += readUint32(bytes, start);
        break;
      case FrameType.RST_STREAM:
        this.#answered(id, CODE_UNAVAILABLE);
        break;
      case FrameType.PING:
        if ((flags & Flag.ACK) !== 0) this.#settle();
        else this.#write(frame(FrameType.PING, Flag.ACK, bytes.subarray(start, end)));
        break;
      case FrameType.GOAWAY:
        this.#fail(`the peer says goodbye: ${errorName(readUint32(bytes, start + 4))}`);
        break;
      case FrameType.CONTINUATION:
      case FrameType.PUSH_PROMISE:
        this.#fail(`${frameName(bytes[at + 3] ?? 0)} was not expected`);
        break;
      default:
    }
  }

  #data(flags: number, id: number, length: number): void {
    if (length > 0) this.#hasContent[(id >>> 1) & this.#mask] = 1;
    this.#receivedBytes += length;
    if (this.#receivedBytes >= OPEN_WINDOW_BYTES) {
      this.#write(windowUpdate(this.#receivedBytes));
      this.#receivedBytes = 0;
    }
    // An answer without trailers has no status.
    if ((flags & Flag.END_STREAM) !== 0) this.#answered(id, CODE_UNKNOWN);
  }

  #headers(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if ((flags & Flag.END_HEADERS) === 0) this.#fail('a header block in several frames');
    if (this.#failure !== undefined || (flags & Flag.END_STREAM) === 0) return;
    const prefix = headersPrefixBytes(flags);
    const padding = Math.max(0, paddingBytes(flags, bytes, start, end, prefix));
    const code = this.#statuses.statusOf(bytes, start + prefix, end - padding);
    const isEmpty = this.#hasContent[(id >>> 1) & this.#mask] === 0;
    this.#answered(id, code === 0 && isEmpty ? CODE_UNKNOWN : code);
  }

  #settings(flags: number, bytes: Uint8Array, start: number, end: number): void {
    if ((flags & Flag.ACK) !== 0) return;
    for (let at = start; at + 6 <= end; at += 6) {
      const value = readUint32(bytes, at + 2);
      const id = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
      if (id === SettingId.MAX_CONCURRENT_STREAMS) this.#mostOutstanding = value;
      if (id === SettingId.INITIAL_WINDOW_SIZE) this.#streamWindowBytes = value;
    }
    this.#write(frame(FrameType.SETTINGS, Flag.ACK, NOTHING));
  }

  /** An answer to our ping comes behind the peer's settings. */
  #settle(): void {
    const { bodyBytes } = this.#call;
    const windowBytes = Math.min(this.#streamWindowBytes, this.#sendWindowBytes);
    if (bodyBytes <= windowBytes) this.#options.onSettled();
    else this.#fail(`a call of ${bodyBytes} bytes, the peer takes ${windowBytes} at once`);
  }

  #answered(id: number, code: number): void {
    const slot = (id >>> 1) & this.#mask;
    if (this.#ids[slot] !== id) return;
    this.#ids[slot] = 0;
    this.#outstanding -= 1;
    this.#options.onAnswer(code, this.#intendedMs[slot] ?? 0);
  }

  #fail(why: string): void {
    if (this.#failure !== undefined) return;
    this.#failure = why;
    this.#socket.destroy();
    for (const id of this.#ids) if (id !== 0) this.#answered(id, CODE_UNAVAILABLE);
    this.#options.onFailed(why);
  }
}
