// One HTTP/2 connection, either end of it (RFC 9113): bytes and the time go in, calls of a handler
// and bytes come out. No sockets, no timers: a shell feeds receive(), writes what take() gives, and
// calls onTime() when deadlineMs() has come.
import {
  CLIENT_PREFACE,
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  Flag,
  FrameType,
  MAX_STREAM_ID,
} from '../frames/constants.ts';
import { writePing, writeSettings, writeWindowUpdate } from '../frames/control-frames.ts';
import { FrameReader, type FrameSink } from '../frames/frame-reader.ts';
import type { ShapeError } from '../frames/frame-shape.ts';
import type { HeaderField } from '../hpack/header-field.ts';
import { Budget } from './budgets.ts';
import { type ConnectionOptions, ConnectionState } from './connection-state.ts';
import { deadlineMs, onTime } from './deadlines.ts';
import type { ConnectionHandler } from './handler.ts';
import { checkOptions, ownSettings } from './own-settings.ts';
import {
  receiveGoaway,
  receiveIgnored,
  receivePing,
  receiveReset,
  receiveSettings,
  receiveWindowUpdate,
} from './receive-control.ts';
import { consume, receiveData } from './receive-data.ts';
import { OpenBlock, receiveHeaders } from './receive-headers.ts';
import {
  endSending,
  pump,
  sendData,
  sendPrefixed,
  sendTrailers,
  writeHeaders,
  writeRepeatedHeaders,
} from './send-queue.ts';
import { type HeadersToSend, Progress, type Stream } from './stream.ts';

/** Frames of data sent give the peer this many window updates each. */
const UPDATES_PER_DATA_FRAME = 4;

export class Connection implements FrameSink {
  readonly #state: ConnectionState;
  readonly #reader: FrameReader;
  readonly #block = new OpenBlock();
  #prefaceLeft: number;
  /** When the frame that is being received began; Infinity between frames. */
  #partialSinceMs = Number.POSITIVE_INFINITY;
  #framesRead = 0;
  #isUnread = false;

  /** The handler is called from within receive(), take(), onTime() and the sending calls. */
  constructor(options: ConnectionOptions, handler: ConnectionHandler, nowMs: number) {
    this.#state = new ConnectionState(checkOptions(options), handler, nowMs);
    this.#reader = new FrameReader(options.maxFrameBytes);
    this.#prefaceLeft = options.isServer ? CLIENT_PREFACE.length : 0;
    const { output } = this.#state;
    if (!options.isServer) output.copy(CLIENT_PREFACE, 0, CLIENT_PREFACE.length);
    writeSettings(output, ownSettings(options));
    const more = options.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more > 0) writeWindowUpdate(output, 0, more);
  }

  /** Bytes of the peer: views are handed on, so they must stay, unless `chunk` is READ_BUFFER. */
  receive(chunk: Uint8Array, nowMs: number, from = 0, end: number = chunk.length): void {
    const state = this.#state;
    if (state.isFailed) return;
    state.nowMs = nowMs;
    state.keepalive.heard(nowMs);
    state.budgets.refill(nowMs);
    if (state.dataFramesSent > 0) {
      state.budgets.credit(Budget.WINDOW_UPDATES, state.dataFramesSent * UPDATES_PER_DATA_FRAME);
      state.dataFramesSent = 0;
    }
    const at = this.#prefaceLeft > 0 ? this.#takePreface(chunk, from, end) : from;
    if (state.isFailed) return;
    const framesBefore = this.#framesRead;
    this.#reader.read(chunk, this, at, end);
    if (!this.#reader.midFrame) this.#partialSinceMs = Number.POSITIVE_INFINITY;
    else if (this.#framesRead !== framesBefore || this.#partialSinceMs > nowMs) {
      this.#partialSinceMs = nowMs;
    }
    this.#boundOutput();
  }

  /** What is to be sent, in order; call it again once the socket has taken that. */
  take(): Uint8Array[] {
    this.#isUnread = false;
    if (!this.#state.isFailed) pump(this.#state);
    return this.#state.output.take();
  }

  /** @param hasLeft nobody reads what take() gave last any more: its memory is written again. */
  settle(hasLeft: boolean): void {
    this.#state.output.settle(hasLeft);
  }

  /** Whether take() would give something now. */
  get hasOutput(): boolean {
    const state = this.#state;
    if (state.output.sizeBytes > 0) return true;
    return !state.isFailed && state.readyHead !== undefined && state.sendWindowBytes > 0;
  }

  /**
   * Client: a new stream; undefined when there can be none now (onOpenable tells of room).
   * @throws RangeError for a character above 255; then nothing has been sent.
   */
  open(headers: HeadersToSend, isEnd: boolean, isHead = false): Stream | undefined {
    const state = this.#state;
    if (!state.canOpen) {
      state.isOpenerWaiting = true;
      return undefined;
    }
    writeHeaders(state, state.nextLocalStreamId, headers, isEnd);
    return this.#opened(isEnd, isHead);
  }

  /**
   * Client: as open(), for requests much like each other: `constant` never changes and is the same
   * object each time, so that it is encoded once; `varying` comes behind it.
   */
  openRepeated(
    constant: readonly HeaderField[],
    varying: readonly HeaderField[],
    isEnd: boolean,
  ): Stream | undefined {
    const state = this.#state;
    if (!state.canOpen) {
      state.isOpenerWaiting = true;
      return undefined;
    }
    writeRepeatedHeaders(state, state.nextLocalStreamId, constant, varying, isEnd);
    return this.#opened(isEnd, false);
  }

  #opened(isEnd: boolean, isHead: boolean): Stream {
    const state = this.#state;
    const id = state.nextLocalStreamId;
    state.nextLocalStreamId = id >= MAX_STREAM_ID - 1 ? MAX_STREAM_ID : id + 2;
    if (state.nextLocalStreamId === MAX_STREAM_ID) state.isExhausted = true;
    const stream = state.add(id);
    stream.isHead = isHead;
    stream.sending = isEnd ? Progress.ENDED : Progress.OPEN;
    return stream;
  }

  /**
   * The headers of a response; nothing happens when the stream is closed.
   * @throws RangeError for a character above 255; then nothing has been sent.
   */
  sendHeaders(stream: Stream, headers: HeadersToSend, isEnd: boolean): void {
    if (stream.isClosed) return;
    if (stream.sending !== Progress.NONE) throw new Error('headers are sent once');
    writeHeaders(this.#state, stream.id, headers, isEnd);
    stream.sending = Progress.OPEN;
    if (isEnd) endSending(this.#state, stream);
  }

  /**
   * Data behind the headers, bytes[start, end). Unless they are in READ_BUFFER, they must not
   * change until they have been sent.
   * False: wait for onWritable() before sending more (this much is queued).
   */
  sendData(
    stream: Stream,
    bytes: Uint8Array,
    isEnd: boolean,
    start = 0,
    end: number = bytes.length,
  ): boolean {
    if (stream.isClosed) return false;
    if (stream.sending !== Progress.OPEN) throw new Error('data goes between headers and the end');
    return sendData(this.#state, stream, bytes, start, end, isEnd);
  }

  /**
   * sendData() of a few bytes, which are copied, and what follows them; in one frame if that fits.
   */
  sendPrefixed(stream: Stream, prefix: Uint8Array, bytes: Uint8Array, isEnd: boolean): boolean {
    if (stream.isClosed) return false;
    if (stream.sending !== Progress.OPEN) throw new Error('data goes between headers and the end');
    return sendPrefixed(this.#state, stream, prefix, bytes, isEnd);
  }

  /** Ends the stream, behind its data. A character above 255 throws, or resets it if they wait. */
  sendTrailers(stream: Stream, trailers: HeadersToSend): void {
    if (stream.isClosed) return;
    if (stream.sending !== Progress.OPEN)
      throw new Error('trailers go between headers and the end');
    sendTrailers(this.#state, stream, trailers);
  }

  /** RST_STREAM; what the stream had queued is dropped. The handler is not told. */
  reset(stream: Stream, code: number): void {
    this.#state.reset(stream, code, 'reset by us', false);
  }

  /** The owner is done with so many bytes of onData(); the peer may send as many again. */
  consume(stream: Stream, bytes: number): void {
    consume(this.#state, stream, bytes);
  }

  /** @param bytes 8 of the sender's choice. */
  ping(bytes: Uint8Array): void {
    if (!this.#state.isFailed) writePing(this.#state.output, bytes, 0, false);
  }

  /** Graceful end: open streams run to their end, then isDone. */
  drain(nowMs: number): void {
    this.#state.nowMs = nowMs;
    this.#state.drain.begin(this.#state);
  }

  /** Ends the connection at once with GOAWAY; every stream is lost. */
  fail(code: number, why: string): void {
    this.#state.fail(code, why);
    this.#reader.stop();
  }

  /** The socket is gone: every stream is lost. */
  lost(why: string): void {
    const state = this.#state;
    if (state.isFailed) return;
    state.loseAll(ErrorCode.CANCEL, why);
    this.#reader.stop();
  }

  /** True once nothing is left to do: the shell sends what take() gives and closes the socket. */
  get isDone(): boolean {
    const state = this.#state;
    if (state.isFailed) return true;
    const isEnding = state.isGoawayReceived || state.goawayStreamId !== Number.POSITIVE_INFINITY;
    return isEnding && state.streams.size === 0;
  }

  get isFailed(): boolean {
    return this.#state.isFailed;
  }

  /** Whether open() would give a stream. */
  get canOpen(): boolean {
    return this.#state.canOpen;
  }

  /** onOpenable() comes after the peer's next settings, or end of a stream, that leave room. */
  awaitOpenable(): void {
    this.#state.isOpenerWaiting = true;
  }

  /** Never again a new stream: failed, told to go, draining, or out of stream ids. */
  get isEnding(): boolean {
    const state = this.#state;
    return state.isFailed || state.isGoawayReceived || state.isDraining || state.isExhausted;
  }

  /** Those that are open, the oldest first. */
  get streams(): readonly Stream[] {
    return this.#state.streams.values();
  }

  get openStreams(): number {
    return this.#state.streams.size;
  }

  /** The time of the event that is being handled. */
  get nowMs(): number {
    return this.#state.nowMs;
  }

  /** Data that waits for a window, of all streams. */
  get queuedBytes(): number {
    return this.#state.queuedBytes;
  }

  /** Call onTime() then; Infinity when nothing is waited for. */
  deadlineMs(): number {
    return deadlineMs(this.#state, this.#partialSinceMs, this.#block);
  }

  onTime(nowMs: number): void {
    if (this.#state.isFailed) return;
    this.#state.nowMs = nowMs;
    onTime(this.#state, this.#partialSinceMs, this.#block);
    if (this.#state.isFailed) this.#reader.stop();
  }

  /** What waits to be taken. */
  get unsentBytes(): number {
    return this.#state.output.sizeBytes;
  }

  /** Received and not consumed yet, of all streams: what the peer's window is short of. */
  get unconsumedBytes(): number {
    const { isFailed, options, receiveWindowBytes, creditBytes } = this.#state;
    return isFailed ? 0 : options.connectionWindowBytes - receiveWindowBytes - creditBytes;
  }

  /** Bytes held: received and not consumed, queued, waiting to be taken, in a cut frame. */
  get heldBytes(): number {
    const { queuedBytes, output } = this.#state;
    return this.unconsumedBytes + queuedBytes + output.sizeBytes + this.#reader.heldBytes;
  }

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    const state = this.#state;
    this.#framesRead += 1;
    if (!this.#isInPlace(type, flags, streamId)) return false;
    switch (type) {
      case FrameType.DATA:
        receiveData(state, flags, streamId, bytes, start, end);
        break;
      case FrameType.HEADERS:
        receiveHeaders(state, this.#block, flags, streamId, bytes, start, end);
        break;
      case FrameType.CONTINUATION:
        this.#block.goOn(state, flags, streamId, bytes, start, end);
        break;
      case FrameType.WINDOW_UPDATE:
        receiveWindowUpdate(state, streamId, bytes, start);
        break;
      case FrameType.RST_STREAM:
        receiveReset(state, streamId, bytes, start);
        break;
      case FrameType.SETTINGS:
        receiveSettings(state, flags, bytes, start, end);
        break;
      case FrameType.PING:
        receivePing(state, flags, bytes, start);
        break;
      case FrameType.GOAWAY:
        receiveGoaway(state, bytes, start, end);
        break;
      case FrameType.PUSH_PROMISE:
        state.fail(ErrorCode.PROTOCOL_ERROR, 'PUSH_PROMISE, though push is not enabled');
        break;
      default:
        receiveIgnored(state, type === FrameType.PRIORITY, streamId, bytes, start);
    }
    return !state.isFailed;
  }

  onMisshapen(error: ShapeError, type: number, streamId: number): boolean {
    const state = this.#state;
    if (!this.#isInPlace(type, 0, streamId)) return false;
    if (error.ofStream) state.streamError(streamId, error.code, error.message);
    else state.fail(error.code, error.message);
    return !state.isFailed;
  }

  /** SETTINGS first, and nothing within a header block. */
  #isInPlace(type: number, flags: number, streamId: number): boolean {
    const state = this.#state;
    const open = this.#block.streamId;
    if (open !== 0 && (type !== FrameType.CONTINUATION || streamId !== open)) {
      state.fail(ErrorCode.PROTOCOL_ERROR, 'another frame within a header block');
      return false;
    }
    if (state.isPeerSettled) return true;
    if (type === FrameType.SETTINGS && (flags & Flag.ACK) === 0) return true;
    state.fail(ErrorCode.PROTOCOL_ERROR, 'a connection starts with SETTINGS');
    return false;
  }

  /** Returns where the frames begin. */
  #takePreface(chunk: Uint8Array, from: number, end: number): number {
    const done = CLIENT_PREFACE.length - this.#prefaceLeft;
    const take = Math.min(this.#prefaceLeft, end - from);
    for (let i = 0; i < take; i++) {
      if (chunk[from + i] === CLIENT_PREFACE[done + i]) continue;
      this.#state.fail(ErrorCode.PROTOCOL_ERROR, "no HTTP/2: the client's preface is another");
      this.#reader.stop();
      return end;
    }
    this.#prefaceLeft -= take;
    return from + take;
  }

  /** A peer that makes us answer and takes no answers is cut off. */
  #boundOutput(): void {
    const state = this.#state;
    if (this.#isUnread && state.output.sizeBytes > state.limits.unsentControlBytes) {
      state.exceed('unsent_control_bytes');
      this.#reader.stop();
    }
    this.#isUnread = true;
  }
}
