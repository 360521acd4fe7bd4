// Takes the frames that carry no message: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM and
// PRIORITY (RFC 9113, 6.3 to 6.9). The frames' lengths have been checked.
import {
  ErrorCode,
  Flag,
  MAX_MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  MIN_MAX_FRAME_BYTES,
  SettingId,
} from '../frames/constants.ts';
import { writePing, writeSettingsAck } from '../frames/control-frames.ts';
import { priorityParent, readUint32 } from '../frames/frame-shape.ts';
import { Budget } from './budgets.ts';
import type { ConnectionState } from './connection-state.ts';
import { makeReady } from './send-queue.ts';

export function receiveSettings(
  state: ConnectionState,
  flags: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  if ((flags & Flag.ACK) !== 0) {
    if (state.isSettingsAcked) return;
    state.isSettingsAcked = true;
    state.decoder.setMaxTableBytes(state.options.headerTableBytes);
    return;
  }
  if (!state.spend(Budget.SETTINGS)) return;
  let windowBytes = state.peerInitialWindowBytes;
  for (let at = start; at < end; at += 6) {
    const id = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    const value = readUint32(bytes, at + 2);
    if (id === SettingId.INITIAL_WINDOW_SIZE) {
      if (value > MAX_WINDOW_BYTES) {
        state.fail(ErrorCode.FLOW_CONTROL_ERROR, 'INITIAL_WINDOW_SIZE is above 2^31-1');
        return;
      }
      windowBytes = value;
    } else applySetting(state, id, value);
    if (state.isFailed) return;
  }
  if (windowBytes !== state.peerInitialWindowBytes) changeWindows(state, windowBytes);
  if (state.isFailed) return;
  state.isPeerSettled = true;
  writeSettingsAck(state.output);
  state.tellOpener();
}

function applySetting(state: ConnectionState, id: number, value: number): void {
  switch (id) {
    case SettingId.HEADER_TABLE_SIZE:
      state.encoder.setPeerMaxTableBytes(value);
      return;
    case SettingId.ENABLE_PUSH:
      if (value <= 1 && (state.isServer || value === 0)) return;
      state.fail(ErrorCode.PROTOCOL_ERROR, 'ENABLE_PUSH is 0 or 1, and 0 from a server');
      return;
    case SettingId.MAX_CONCURRENT_STREAMS:
      state.peerMaxStreams = value;
      return;
    case SettingId.MAX_FRAME_SIZE:
      if (value >= MIN_MAX_FRAME_BYTES && value <= MAX_MAX_FRAME_BYTES) {
        state.peerMaxFrameBytes = value;
      } else state.fail(ErrorCode.PROTOCOL_ERROR, 'MAX_FRAME_SIZE is 16,384 to 16,777,215');
      return;
    default:
      // MAX_HEADER_LIST_SIZE is advice; unknown settings are ignored: RFC 9113, 6.5.2.
      return;
  }
}

/** A new initial window moves that of every open stream, below zero if need be: 6.9.2. */
function changeWindows(state: ConnectionState, windowBytes: number): void {
  const change = windowBytes - state.peerInitialWindowBytes;
  state.peerInitialWindowBytes = windowBytes;
  for (const stream of state.streams.values()) {
    stream.sendWindowBytes += change;
    if (stream.sendWindowBytes > MAX_WINDOW_BYTES) {
      const why = "INITIAL_WINDOW_SIZE lifts a stream's window above 2^31-1";
      state.fail(ErrorCode.FLOW_CONTROL_ERROR, why);
      return;
    }
    makeReady(state, stream);
  }
}

export function receiveWindowUpdate(
  state: ConnectionState,
  streamId: number,
  bytes: Uint8Array,
  start: number,
): void {
  const increment = readUint32(bytes, start) & 0x7fffffff;
  if (!state.spend(Budget.WINDOW_UPDATES)) return;
  if (streamId === 0) {
    if (increment === 0) {
      state.fail(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE by 0');
    } else if (state.sendWindowBytes + increment > MAX_WINDOW_BYTES) {
      state.fail(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is above 2^31-1");
    } else state.sendWindowBytes += increment;
    return;
  }
  if (state.isIdle(streamId)) {
    state.fail(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE for a stream that was never opened');
    return;
  }
  const stream = state.find(streamId);
  if (stream === undefined) return;
  if (increment === 0) {
    state.streamError(streamId, ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE by 0');
  } else if (stream.sendWindowBytes + increment > MAX_WINDOW_BYTES) {
    state.streamError(streamId, ErrorCode.FLOW_CONTROL_ERROR, 'a window above 2^31-1');
  } else {
    stream.sendWindowBytes += increment;
    makeReady(state, stream);
  }
}

export function receiveReset(
  state: ConnectionState,
  streamId: number,
  bytes: Uint8Array,
  start: number,
): void {
  if (state.isIdle(streamId)) {
    state.fail(ErrorCode.PROTOCOL_ERROR, 'RST_STREAM for a stream that was never opened');
    return;
  }
  const stream = state.find(streamId);
  if (stream === undefined) {
    // An answer and a reset have crossed, as they do.
    if (state.isServer) state.spend(Budget.LATE_RESETS);
    return;
  }
  const isPremature = state.isServer && state.nowMs < stream.freeResetMs;
  if (isPremature && !state.spend(Budget.RESETS)) return;
  const code = readUint32(bytes, start);
  const isUnprocessed = !state.isServer && code === ErrorCode.REFUSED_STREAM;
  state.resetByPeer(stream, code, isUnprocessed, 'reset by the peer');
}

/** A PRIORITY payload, or a frame of a type that nobody defined: looked at, then ignored. */
export function receiveIgnored(
  state: ConnectionState,
  isPriority: boolean,
  streamId: number,
  bytes: Uint8Array,
  start: number,
): void {
  if (!state.spend(Budget.IGNORED_FRAMES) || !isPriority) return;
  if (priorityParent(bytes, start) !== streamId) return;
  state.streamError(streamId, ErrorCode.PROTOCOL_ERROR, 'a stream that depends on itself');
}

export function receivePing(
  state: ConnectionState,
  flags: number,
  bytes: Uint8Array,
  start: number,
): void {
  if (!state.spend(Budget.PINGS)) return;
  if ((flags & Flag.ACK) === 0) writePing(state.output, bytes, start, true);
  else if (!state.drain.takePong(state, bytes, start)) state.handler.onPong(bytes, start);
}

/** What the peer surely has not acted on is told to its owners. */
export function receiveGoaway(
  state: ConnectionState,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  if (!state.spend(Budget.SETTINGS)) return;
  const last = readUint32(bytes, start) & 0x7fffffff;
  const code = readUint32(bytes, start + 4);
  state.isGoawayReceived = true;
  const isOurs = (id: number): boolean => (id & 1) === (state.nextLocalStreamId & 1);
  for (const stream of state.streams.values()) {
    if (stream.id <= last || !isOurs(stream.id)) continue;
    state.resetByPeer(stream, ErrorCode.REFUSED_STREAM, true, 'the peer takes no more streams');
  }
  state.handler.onGoaway(last, code, bytes.subarray(start + 8, end));
}
