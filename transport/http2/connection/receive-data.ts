// Takes DATA frames: RFC 9113, 6.1, with the accounting of 6.9. Every byte of a frame, padding
// included, is taken off both windows and given back exactly once.
import { ErrorCode, Flag } from '../frames/constants.ts';
import { PADDING_ERROR, paddingBytes } from '../frames/frame-shape.ts';
import { Budget } from './budgets.ts';
import { Ending } from './closed-streams.ts';
import type { ConnectionState } from './connection-state.ts';
import { Progress, type Stream } from './stream.ts';

/**
 * Less content than this in a frame is a waste of both sides' time: no protocol that frames its
 * messages needs it, but for what is left of a window now and then.
 */
const TINY_DATA_BYTES = 5;

export function receiveData(
  state: ConnectionState,
  flags: number,
  streamId: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const length = end - start;
  if (length > state.receiveWindowBytes) {
    state.fail(ErrorCode.FLOW_CONTROL_ERROR, "DATA exceeds the connection's window");
    return;
  }
  const prefix = (flags & Flag.PADDED) !== 0 ? 1 : 0;
  const padding = paddingBytes(flags, bytes, start, end, prefix);
  if (padding < 0) {
    state.fail(PADDING_ERROR.code, PADDING_ERROR.message);
    return;
  }
  state.receiveWindowBytes -= length;
  const isEnd = (flags & Flag.END_STREAM) !== 0;
  const content = length - prefix - padding;
  if (content < TINY_DATA_BYTES && !isEnd && !state.spend(Budget.TINY_DATA)) return;
  const stream = state.find(streamId);
  if (stream === undefined) {
    state.creditConnection(length);
    refuseData(state, streamId);
    return;
  }
  const fault = faultOf(stream, length, content, isEnd);
  if (fault !== 0) {
    state.creditConnection(length);
    state.streamError(streamId, fault, 'DATA that its stream does not take');
    return;
  }
  stream.receiveWindowBytes -= length;
  stream.receivedBytes += content;
  stream.unconsumedBytes += content;
  if (isEnd) stream.receiving = Progress.ENDED;
  if (length > content) {
    state.creditConnection(length - content);
    state.creditStream(stream, length - content);
  }
  if (content === 0 && !isEnd) return;
  state.handler.onData(stream, bytes, start + prefix, end - padding, isEnd);
  if (isEnd) state.finish(stream);
}

/** An error code of the stream; 0 when the frame is in order. */
function faultOf(stream: Stream, length: number, content: number, isEnd: boolean): number {
  if (stream.receiving === Progress.ENDED) return ErrorCode.STREAM_CLOSED;
  if (stream.receiving === Progress.NONE) return ErrorCode.PROTOCOL_ERROR;
  if (length > stream.receiveWindowBytes) return ErrorCode.FLOW_CONTROL_ERROR;
  if (stream.contentLengthBytes < 0) return 0;
  const received = stream.receivedBytes + content;
  const isOff = isEnd
    ? received !== stream.contentLengthBytes
    : received > stream.contentLengthBytes;
  return isOff ? ErrorCode.PROTOCOL_ERROR : 0;
}

function refuseData(state: ConnectionState, id: number): void {
  if (id > state.goawayStreamId) return;
  if (state.isIdle(id)) {
    state.fail(ErrorCode.PROTOCOL_ERROR, 'DATA for a stream that was never opened');
    return;
  }
  const ending = state.closed.endingOf(id);
  if (ending === Ending.RESET_BY_US) return;
  if (ending === Ending.ENDED) {
    state.fail(ErrorCode.STREAM_CLOSED, 'DATA for a stream that has ended');
    return;
  }
  state.streamError(id, ErrorCode.STREAM_CLOSED, 'DATA for a stream that is closed');
}

/** The owner is done with `bytes` of what onData() gave it: the peer may send as many again. */
export function consume(state: ConnectionState, stream: Stream, bytes: number): void {
  if (stream.isReset || (stream.isClosed && state.isServer)) return;
  if (bytes < 0 || bytes > stream.unconsumedBytes) {
    throw new RangeError(`consumed ${bytes} of ${stream.unconsumedBytes} bytes`);
  }
  stream.unconsumedBytes -= bytes;
  state.creditConnection(bytes);
  state.creditStream(stream, bytes);
}
