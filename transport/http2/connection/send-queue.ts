// Sends HEADERS and DATA within the peer's windows. What fits goes straight into the output; what
// does not waits in its stream's queue, and the streams that could go on take turns, a frame each.
import { lasting } from '../../read-memory.ts';
import { ErrorCode, Flag, FrameType } from '../frames/constants.ts';
import { writeHeaderBlock } from '../frames/control-frames.ts';
import type { HeaderField } from '../hpack/header-field.ts';
import { MAX_INTEGER_BYTES } from '../hpack/integer.ts';
import type { ConnectionState } from './connection-state.ts';
import { type HeadersToSend, NO_QUEUE, Progress, type Stream } from './stream.ts';

/** No more data than this is put into the output before the shell has taken it. */
export const OUTPUT_BYTES = 262_144;
/** Above this a stream's owner is told to wait; at half of it, that it may go on. */
export const STREAM_QUEUE_BYTES = 65_536;
/** A stream's turn, whatever frame size the peer allows. */
const TURN_BYTES = 16_384;

export function writeHeaders(
  state: ConnectionState,
  streamId: number,
  headers: HeadersToSend,
  isEnd: boolean,
): void {
  const { output } = state;
  const most =
    headers instanceof Uint8Array
      ? headers.length + 2 * MAX_INTEGER_BYTES
      : state.encoder.mostBytes(headers);
  if (most <= state.peerMaxFrameBytes) {
    const at = output.beginFrame(most);
    const end = encode(state, headers, output.block, at);
    const flags = isEnd ? Flag.END_HEADERS | Flag.END_STREAM : Flag.END_HEADERS;
    output.endFrame(end, FrameType.HEADERS, flags, streamId);
    return;
  }
  const block = Buffer.allocUnsafe(most);
  const end = encode(state, headers, block, 0);
  writeHeaderBlock(output, streamId, block.subarray(0, end), isEnd, state.peerMaxFrameBytes);
}

/** As writeHeaders() of both lists in a row; lists that are the same object again cost less. */
export function writeRepeatedHeaders(
  state: ConnectionState,
  streamId: number,
  constant: readonly HeaderField[],
  varying: readonly HeaderField[],
  isEnd: boolean,
): void {
  const { output, encoder } = state;
  const most = encoder.mostBytes(constant) + encoder.mostBytes(varying);
  if (most > state.peerMaxFrameBytes) {
    writeHeaders(state, streamId, [...constant, ...varying], isEnd);
    return;
  }
  const at = output.beginFrame(most);
  const end = encoder.encodeConstant(constant, output.block, at);
  const flags = isEnd ? Flag.END_HEADERS | Flag.END_STREAM : Flag.END_HEADERS;
  const last = encoder.encodeConstant(varying, output.block, end);
  output.endFrame(last, FrameType.HEADERS, flags, streamId);
}

function encode(
  state: ConnectionState,
  headers: HeadersToSend,
  target: Uint8Array,
  at: number,
): number {
  return headers instanceof Uint8Array
    ? state.encoder.encodePrebuilt(headers, target, at)
    : state.encoder.encodeConstant(headers, target, at);
}

/** True when there is room for more; false asks the owner to wait for onWritable(). */
export function sendData(
  state: ConnectionState,
  stream: Stream,
  bytes: Uint8Array,
  start: number,
  end: number,
  isEnd: boolean,
): boolean {
  const length = end - start;
  if (length === 0 && !isEnd) return !stream.isOwnerWaiting;
  if (canSendNow(state, stream, length)) {
    writeNow(state, stream, bytes, start, end, isEnd);
    return true;
  }
  if (stream.queuedBytes === 0) stream.progressMs = state.nowMs;
  if (stream.queue === NO_QUEUE) stream.queue = [];
  stream.queue.push(lasting(bytes, start, end));
  stream.queuedBytes += length;
  state.queuedBytes += length;
  if (isEnd) stream.sending = Progress.ENDING;
  makeReady(state, stream);
  // Who was told to wait is told when to go on, even if it sent more meanwhile.
  if (stream.queuedBytes > STREAM_QUEUE_BYTES) stream.isOwnerWaiting = true;
  return !stream.isOwnerWaiting;
}

/**
 * As sendData() of `prefix` and `bytes` in a row, in one frame where they fit. The prefix, a few
 * bytes, is copied: its memory may be used again at once.
 */
export function sendPrefixed(
  state: ConnectionState,
  stream: Stream,
  prefix: Uint8Array,
  bytes: Uint8Array,
  isEnd: boolean,
): boolean {
  const prefixBytes = prefix.length;
  if (!canSendNow(state, stream, prefixBytes + bytes.length)) {
    sendData(state, stream, Uint8Array.from(prefix), 0, prefixBytes, false);
    return sendData(state, stream, bytes, 0, bytes.length, isEnd);
  }
  const { output } = state;
  const to = Math.min(bytes.length, state.peerMaxFrameBytes - prefixBytes);
  const isWhole = to === bytes.length;
  const flags = isEnd && isWhole ? Flag.END_STREAM : 0;
  output.frameHeader(prefixBytes + to, FrameType.DATA, flags, stream.id);
  output.copy(prefix, 0, prefixBytes);
  output.payload(bytes, 0, to);
  state.dataFramesSent += 1;
  stream.sendWindowBytes -= prefixBytes + to;
  state.sendWindowBytes -= prefixBytes + to;
  if (!isWhole) writeNow(state, stream, bytes, to, bytes.length, isEnd);
  else if (isEnd) endSending(state, stream);
  return true;
}

/** Nobody waits in front, and all of it fits. */
function canSendNow(state: ConnectionState, stream: Stream, length: number): boolean {
  if (stream.queue !== NO_QUEUE) return false;
  if (length === 0) return true;
  return (
    state.readyHead === undefined &&
    length <= stream.sendWindowBytes &&
    length <= state.sendWindowBytes &&
    state.output.sizeBytes + length <= OUTPUT_BYTES
  );
}

function writeNow(
  state: ConnectionState,
  stream: Stream,
  bytes: Uint8Array,
  start: number,
  end: number,
  isEnd: boolean,
): void {
  const { output, peerMaxFrameBytes } = state;
  const length = end - start;
  let at = start;
  do {
    const to = Math.min(at + peerMaxFrameBytes, end);
    const flags = isEnd && to === end ? Flag.END_STREAM : 0;
    output.frameHeader(to - at, FrameType.DATA, flags, stream.id);
    output.payload(bytes, at, to);
    state.dataFramesSent += 1;
    at = to;
  } while (at < end);
  stream.sendWindowBytes -= length;
  state.sendWindowBytes -= length;
  if (isEnd) endSending(state, stream);
}

/** Trailers end the stream, behind whatever is queued. */
export function sendTrailers(
  state: ConnectionState,
  stream: Stream,
  trailers: HeadersToSend,
): void {
  if (stream.queue !== NO_QUEUE) {
    stream.trailers = trailers;
    stream.sending = Progress.ENDING;
    return;
  }
  writeHeaders(state, stream.id, trailers, true);
  endSending(state, stream);
}

/** END_STREAM is out. */
export function endSending(state: ConnectionState, stream: Stream): void {
  stream.sending = Progress.ENDED;
  if (stream.isRestUnwanted && stream.receiving !== Progress.ENDED) {
    // RFC 9113, 8.1: the answer is whole, and the client need not send the rest of its request.
    state.reset(stream, ErrorCode.NO_ERROR, 'answered before its end', true);
  } else state.finish(stream);
}

/** Takes a turn from now on, if it has something to send and a window for it. */
export function makeReady(state: ConnectionState, stream: Stream): void {
  if (stream.isReady || stream.isClosed || stream.queue === NO_QUEUE) return;
  if (stream.sendWindowBytes <= 0 && stream.queuedBytes > 0) return;
  stream.isReady = true;
  if (state.readyTail === undefined) state.readyHead = stream;
  else state.readyTail.nextReady = stream;
  state.readyTail = stream;
}

/** Moves queued data into the output, turn by turn, as far as windows and the output go. */
export function pump(state: ConnectionState): void {
  while (state.output.sizeBytes < OUTPUT_BYTES) {
    const stream = state.readyHead;
    if (stream === undefined) return;
    if (state.sendWindowBytes <= 0 && stream.queuedBytes > 0 && !stream.isClosed) return;
    state.readyHead = stream.nextReady;
    if (state.readyHead === undefined) state.readyTail = undefined;
    stream.nextReady = undefined;
    stream.isReady = false;
    if (stream.isClosed) continue;
    takeTurn(state, stream);
    makeReady(state, stream);
  }
}

function takeTurn(state: ConnectionState, stream: Stream): void {
  const length = Math.min(
    stream.queuedBytes,
    stream.sendWindowBytes,
    state.sendWindowBytes,
    state.peerMaxFrameBytes,
    TURN_BYTES,
  );
  if (length < 0 || (length === 0 && stream.queuedBytes > 0)) return;
  const isLast = length === stream.queuedBytes;
  const isEnd = isLast && stream.sending === Progress.ENDING && stream.trailers === undefined;
  state.output.frameHeader(length, FrameType.DATA, isEnd ? Flag.END_STREAM : 0, stream.id);
  state.dataFramesSent += 1;
  writeQueued(state, stream, length);
  stream.queuedBytes -= length;
  state.queuedBytes -= length;
  stream.sendWindowBytes -= length;
  state.sendWindowBytes -= length;
  stream.progressMs = state.nowMs;
  if (isLast) finishQueue(state, stream);
  if (stream.isOwnerWaiting && stream.queuedBytes * 2 <= STREAM_QUEUE_BYTES) {
    stream.isOwnerWaiting = false;
    if (!stream.isClosed) state.handler.onWritable(stream);
  }
}

/** The first `length` bytes of the queue, as the payload of one frame. */
function writeQueued(state: ConnectionState, stream: Stream, length: number): void {
  let left = length;
  while (left > 0) {
    const bytes = stream.queue[stream.queueAt];
    if (bytes === undefined) throw new Error('a send queue is shorter than its count of bytes');
    const from = stream.queueOffsetBytes;
    const to = Math.min(from + left, bytes.length);
    state.output.payload(bytes, from, to);
    left -= to - from;
    if (to < bytes.length) {
      stream.queueOffsetBytes = to;
      return;
    }
    stream.queueAt += 1;
    stream.queueOffsetBytes = 0;
  }
  // What has been sent is let go of; one splice pays for many shifts.
  if (stream.queueAt < 64) return;
  stream.queue.splice(0, stream.queueAt);
  stream.queueAt = 0;
}

function finishQueue(state: ConnectionState, stream: Stream): void {
  const { trailers } = stream;
  const isEnding = stream.sending === Progress.ENDING;
  stream.dropQueue();
  if (trailers !== undefined && !writeTrailers(state, stream, trailers)) return;
  if (isEnding) endSending(state, stream);
}

/** False when they can't be encoded: it is too late to tell the caller, so the stream is reset. */
function writeTrailers(state: ConnectionState, stream: Stream, trailers: HeadersToSend): boolean {
  try {
    writeHeaders(state, stream.id, trailers, true);
    return true;
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown;
    state.reset(stream, ErrorCode.INTERNAL_ERROR, thrown.message, true);
    return false;
  }
}
