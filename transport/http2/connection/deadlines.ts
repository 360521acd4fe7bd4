// What a connection waits for, and for how long: the shell sleeps until the earliest of these.
import { ErrorCode } from '../frames/constants.ts';
import type { ConnectionState } from './connection-state.ts';
import type { OpenBlock } from './receive-headers.ts';

/** A stalled stream is found this much of its limit late, at most. */
const STALL_CHECK_SHARE = 0.25;
const NEVER_MS = Number.POSITIVE_INFINITY;

/** The earliest deadline; Infinity when there is none. */
export function deadlineMs(
  state: ConnectionState,
  partialSinceMs: number,
  block: OpenBlock,
): number {
  if (state.isFailed) return NEVER_MS;
  return Math.min(
    state.drain.atMs,
    handshakeAtMs(state),
    partialAtMs(state, partialSinceMs, block),
    idleAtMs(state),
    keepaliveAtMs(state),
    stallCheckAtMs(state),
  );
}

/** Acts on what is due at `state.nowMs`. */
export function onTime(state: ConnectionState, partialSinceMs: number, block: OpenBlock): void {
  const { nowMs } = state;
  state.drain.onTime(state);
  if (nowMs >= handshakeAtMs(state)) {
    state.handler.onLimit('handshake_time');
    const code = state.isPeerSettled ? ErrorCode.SETTINGS_TIMEOUT : ErrorCode.PROTOCOL_ERROR;
    state.fail(code, 'the SETTINGS exchange took too long');
  } else if (nowMs >= partialAtMs(state, partialSinceMs, block)) state.exceed('partial_frame_time');
  else if (nowMs >= idleAtMs(state)) {
    state.handler.onLimit('idle_time');
    state.drain.begin(state);
  } else if (nowMs >= stallCheckAtMs(state)) resetStalled(state);
  if (nowMs >= keepaliveAtMs(state)) state.keepalive.onTime(state);
}

function handshakeAtMs(state: ConnectionState): number {
  if (state.isPeerSettled && state.isSettingsAcked) return NEVER_MS;
  return state.startedMs + state.limits.handshakeMs;
}

function partialAtMs(state: ConnectionState, partialSinceMs: number, block: OpenBlock): number {
  const blockSinceMs = block.streamId === 0 ? NEVER_MS : block.sinceMs;
  return Math.min(partialSinceMs, blockSinceMs) + state.limits.partialFrameMs;
}

function keepaliveAtMs(state: ConnectionState): number {
  if (state.streams.size === 0 && !state.limits.isKeptAliveIdle) return NEVER_MS;
  return state.keepalive.atMs;
}

function idleAtMs(state: ConnectionState): number {
  if (state.streams.size > 0 || state.isDraining) return NEVER_MS;
  return state.idleSinceMs + state.limits.idleMs;
}

function stallCheckAtMs(state: ConnectionState): number {
  if (state.queuedBytes === 0) return NEVER_MS;
  return state.stallCheckedMs + state.limits.stalledMs * STALL_CHECK_SHARE;
}

/** Streams whose data has waited for the peer's window too long. */
function resetStalled(state: ConnectionState): void {
  state.stallCheckedMs = state.nowMs;
  for (const stream of state.streams.values()) {
    if (stream.queuedBytes === 0) continue;
    if (state.nowMs - stream.progressMs < state.limits.stalledMs) continue;
    state.handler.onLimit('stalled_time');
    state.reset(stream, ErrorCode.CANCEL, 'the peer opened no window for too long', true);
  }
}
