// Ends a connection without losing a call: RFC 9113, 6.8. A first GOAWAY says that the end is near
// and takes every stream; once a ping shows that the peer has read it, or a time has passed, a
// second one names the last stream, and the connection is done when the streams are.
import { ErrorCode, MAX_STREAM_ID } from '../frames/constants.ts';
import { writeGoaway, writePing } from '../frames/control-frames.ts';
import type { ConnectionState } from './connection-state.ts';

/** Recognises the answer to our own ping. */
const PING = Buffer.from('drain\0\0\0', 'latin1');
/** A peer that does not answer the ping is not waited for longer than this. */
const PONG_WAIT_MS = 1_000;

export class Drain {
  /** When the second GOAWAY goes out at the latest. */
  atMs = Number.POSITIVE_INFINITY;

  begin(state: ConnectionState): void {
    if (state.isDraining || state.isFailed) return;
    state.isDraining = true;
    if (!state.isServer) {
      this.#finish(state);
      return;
    }
    writeGoaway(state.output, MAX_STREAM_ID, ErrorCode.NO_ERROR, '');
    writePing(state.output, PING, 0, false);
    this.atMs = state.nowMs + PONG_WAIT_MS;
  }

  /** True when the answer was to our ping. */
  takePong(state: ConnectionState, bytes: Uint8Array, at: number): boolean {
    if (this.atMs === Number.POSITIVE_INFINITY) return false;
    for (let i = 0; i < PING.length; i++) if (bytes[at + i] !== PING[i]) return false;
    this.#finish(state);
    return true;
  }

  onTime(state: ConnectionState): void {
    if (state.nowMs >= this.atMs) this.#finish(state);
  }

  #finish(state: ConnectionState): void {
    this.atMs = Number.POSITIVE_INFINITY;
    state.goawayStreamId = state.lastPeerStreamId;
    writeGoaway(state.output, state.lastPeerStreamId, ErrorCode.NO_ERROR, '');
  }
}
