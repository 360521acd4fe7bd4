// Takes HEADERS and CONTINUATION frames: puts a block together within its limits, decodes every
// block whatever becomes of its stream (the table must see them all), and lets through what is
// well-formed and in its place.
import { lasting } from '../../read-memory.ts';
import { ErrorCode, Flag } from '../frames/constants.ts';
import {
  headersPrefixBytes,
  PADDING_ERROR,
  paddingBytes,
  priorityParent,
} from '../frames/frame-shape.ts';
import type { HeaderList } from '../hpack/header-list.ts';
import { HpackError } from '../hpack/hpack-error.ts';
import { Budget } from './budgets.ts';
import { Ending } from './closed-streams.ts';
import type { ConnectionState } from './connection-state.ts';
import {
  checkRequest,
  checkResponse,
  checkTrailers,
  type HeaderVerdict,
  isValue,
  statusOf,
} from './header-rules.ts';
import { Progress, type Stream } from './stream.ts';

/** A header block whose end has not come. */
export class OpenBlock {
  /** 0: none is open. Until it is done, nothing but CONTINUATION may come: RFC 9113, 4.3. */
  streamId = 0;
  sinceMs = 0;
  #isEnd = false;
  #isSelfDependent = false;
  #parts: Uint8Array[] = [];
  #sizeBytes = 0;
  #frames = 0;

  open(state: ConnectionState, streamId: number, isEnd: boolean, isSelfDependent: boolean): void {
    this.streamId = streamId;
    this.sinceMs = state.nowMs;
    this.#isEnd = isEnd;
    this.#isSelfDependent = isSelfDependent;
    this.#parts = [];
    this.#sizeBytes = 0;
    this.#frames = 0;
  }

  add(state: ConnectionState, bytes: Uint8Array, start: number, end: number): void {
    this.#sizeBytes += end - start;
    if (this.#sizeBytes > state.limits.headerBlockBytes) state.exceed('header_block_bytes');
    else this.#parts.push(lasting(bytes, start, end));
  }

  goOn(
    state: ConnectionState,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (this.streamId === 0 || streamId !== this.streamId) {
      state.fail(ErrorCode.PROTOCOL_ERROR, 'CONTINUATION without a header block to go on with');
      return;
    }
    this.#frames += 1;
    if (this.#frames > state.limits.continuationFrames) {
      state.exceed('continuation_frames');
      return;
    }
    this.add(state, bytes, start, end);
    if (state.isFailed || (flags & Flag.END_HEADERS) === 0) return;
    const block = Buffer.concat(this.#parts);
    this.#parts = [];
    this.streamId = 0;
    takeBlock(state, streamId, this.#isEnd, this.#isSelfDependent, block, 0, block.length);
  }
}

export function receiveHeaders(
  state: ConnectionState,
  open: OpenBlock,
  flags: number,
  streamId: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const prefix = headersPrefixBytes(flags);
  const padding = paddingBytes(flags, bytes, start, end, prefix);
  if (padding < 0) {
    state.fail(PADDING_ERROR.code, PADDING_ERROR.message);
    return;
  }
  const hasPriority = (flags & Flag.PRIORITY) !== 0;
  const isSelfDependent = hasPriority && priorityParent(bytes, start + prefix - 5) === streamId;
  const isEnd = (flags & Flag.END_STREAM) !== 0;
  if ((flags & Flag.END_HEADERS) === 0) {
    open.open(state, streamId, isEnd, isSelfDependent);
    open.add(state, bytes, start + prefix, end - padding);
    return;
  }
  takeBlock(state, streamId, isEnd, isSelfDependent, bytes, start + prefix, end - padding);
}

function takeBlock(
  state: ConnectionState,
  streamId: number,
  isEnd: boolean,
  isSelfDependent: boolean,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const headers = decode(state, bytes, start, end);
  if (headers === undefined) return;
  const stream = state.find(streamId);
  if (isSelfDependent) {
    if (stream === undefined) noteOpened(state, streamId);
    state.streamError(streamId, ErrorCode.PROTOCOL_ERROR, 'a stream that depends on itself');
  } else if (stream === undefined) takeNewHeaders(state, streamId, headers, isEnd);
  else if (stream.receiving === Progress.ENDED) {
    state.streamError(streamId, ErrorCode.STREAM_CLOSED, 'HEADERS after END_STREAM');
  } else if (headers.refusal !== undefined) refuse(state, streamId);
  else if (stream.receiving === Progress.OPEN) takeTrailers(state, stream, headers, isEnd);
  else takeResponse(state, stream, headers, isEnd);
}

function decode(
  state: ConnectionState,
  bytes: Uint8Array,
  start: number,
  end: number,
): HeaderList | undefined {
  try {
    return state.decoder.decode(bytes, start, end);
  } catch (thrown) {
    if (!(thrown instanceof HpackError)) throw thrown;
    if (thrown.code === 'ENHANCE_YOUR_CALM') state.exceed('header_list_bytes');
    else state.fail(ErrorCode[thrown.code], thrown.message);
    return undefined;
  }
}

/** HEADERS of a stream that is not open: a request, or a frame in a wrong place. */
function takeNewHeaders(
  state: ConnectionState,
  id: number,
  headers: HeaderList,
  isEnd: boolean,
): void {
  if (!state.isIdle(id)) {
    if (id <= state.goawayStreamId) takeLateHeaders(state, id);
    return;
  }
  if (!state.isServer || (id & 1) === 0) {
    state.fail(ErrorCode.PROTOCOL_ERROR, 'HEADERS for a stream that only this side may open');
    return;
  }
  noteOpened(state, id);
  if (id > state.goawayStreamId) return;
  if (headers.refusal !== undefined) {
    refuseRequest(state, id, headers, isEnd);
    return;
  }
  const verdict = verdictOf(headers, checkRequest);
  if (typeof verdict === 'string' || (isEnd && verdict > 0)) {
    const why = typeof verdict === 'string' ? verdict : 'no content behind a content-length';
    state.streamError(id, ErrorCode.PROTOCOL_ERROR, why);
    return;
  }
  if (state.peerStreams >= state.limits.concurrentStreams) {
    state.handler.onLimit('concurrent_streams');
    // Before our settings have arrived, a peer can't know the limit.
    if (!state.isSettingsAcked || state.spend(Budget.RESETS)) state.refuseStream(id);
    return;
  }
  const stream = state.add(id);
  stream.contentLengthBytes = verdict;
  stream.receiving = isEnd ? Progress.ENDED : Progress.OPEN;
  state.handler.onHeaders(stream, headers, isEnd);
}

/** A list comes again for the same bytes, its verdict with it. Each end starts one kind only. */
function verdictOf(
  headers: HeaderList,
  check: typeof checkRequest | typeof checkResponse,
): HeaderVerdict {
  headers.verdict ??= verdictByBase(headers) ?? check(headers.fields);
  return headers.verdict;
}

/** Where only values differ from those of a good list, only they are looked at. */
function verdictByBase({ base, changed, fields }: HeaderList): HeaderVerdict | undefined {
  if (base === undefined || typeof base.verdict !== 'number') return undefined;
  for (const index of changed) if (!isValue(fields[index]?.value ?? '')) return undefined;
  return base.verdict;
}

function noteOpened(state: ConnectionState, id: number): void {
  const isPeers = (id & 1) !== (state.nextLocalStreamId & 1);
  if (isPeers && id > state.lastPeerStreamId) state.lastPeerStreamId = id;
}

function takeLateHeaders(state: ConnectionState, id: number): void {
  switch (state.closed.endingOf(id)) {
    case Ending.NEVER_OPENED:
      state.fail(ErrorCode.PROTOCOL_ERROR, 'a stream id below one that was used already');
      return;
    case Ending.ENDED:
      state.fail(ErrorCode.STREAM_CLOSED, 'HEADERS for a stream that has ended');
      return;
    case Ending.RESET_BY_US:
      return;
    default:
      state.streamError(id, ErrorCode.STREAM_CLOSED, 'HEADERS for a stream that is closed');
  }
}

/** A request with too many headers is reset, or answered by an owner that wants to. */
function refuseRequest(
  state: ConnectionState,
  id: number,
  headers: HeaderList,
  isEnd: boolean,
): void {
  const { handler } = state;
  if (handler.onRefused === undefined || state.peerStreams >= state.limits.concurrentStreams) {
    refuse(state, id);
    return;
  }
  handler.onLimit('header_list_bytes');
  if (!state.spend(Budget.RESETS)) return;
  const stream = state.add(id);
  stream.receiving = isEnd ? Progress.ENDED : Progress.OPEN;
  handler.onRefused(stream, headers, isEnd);
}

function refuse(state: ConnectionState, id: number): void {
  state.handler.onLimit('header_list_bytes');
  state.streamError(id, ErrorCode.ENHANCE_YOUR_CALM, 'more headers than the limit');
}

function takeTrailers(
  state: ConnectionState,
  stream: Stream,
  headers: HeaderList,
  isEnd: boolean,
): void {
  headers.endVerdict ??= checkTrailers(headers.fields);
  const verdict = isEnd ? headers.endVerdict : 'trailers without END_STREAM';
  if (typeof verdict === 'string') {
    state.streamError(stream.id, ErrorCode.PROTOCOL_ERROR, verdict);
    return;
  }
  if (stream.contentLengthBytes >= 0 && stream.contentLengthBytes !== stream.receivedBytes) {
    state.streamError(stream.id, ErrorCode.PROTOCOL_ERROR, 'content ends short of its length');
    return;
  }
  stream.receiving = Progress.ENDED;
  state.handler.onTrailers(stream, headers);
  state.finish(stream);
}

function takeResponse(
  state: ConnectionState,
  stream: Stream,
  headers: HeaderList,
  isEnd: boolean,
): void {
  const verdict = verdictOf(headers, checkResponse);
  if (typeof verdict === 'string') {
    state.streamError(stream.id, ErrorCode.PROTOCOL_ERROR, verdict);
    return;
  }
  const status = statusOf(headers.fields);
  if (status < 200) {
    if (isEnd) state.streamError(stream.id, ErrorCode.PROTOCOL_ERROR, 'the end within a 1xx');
    else state.spend(Budget.IGNORED_FRAMES);
    return;
  }
  const hasNoContent = stream.isHead || status === 204 || status === 304;
  if (isEnd && verdict > 0 && !hasNoContent) {
    const why = 'no content behind a content-length';
    state.streamError(stream.id, ErrorCode.PROTOCOL_ERROR, why);
    return;
  }
  stream.contentLengthBytes = hasNoContent ? 0 : verdict;
  stream.receiving = isEnd ? Progress.ENDED : Progress.OPEN;
  state.handler.onHeaders(stream, headers, isEnd);
  if (isEnd) state.finish(stream);
}
