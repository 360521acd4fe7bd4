// Finds out that a peer is gone though its socket says nothing: after a silence a ping is sent, and
// without any byte in answer the connection has failed. Whoever speaks is alive.
import { ErrorCode } from '../frames/constants.ts';
import { writePing } from '../frames/control-frames.ts';
import type { ConnectionState } from './connection-state.ts';
import type { ConnectionLimits } from './limits.ts';

const PING = Buffer.from('alive?\0\0', 'latin1');

export class Keepalive {
  readonly #limits: ConnectionLimits;
  #heardMs: number;
  /** When the ping went out that nothing has answered. */
  #askedMs = Number.POSITIVE_INFINITY;

  constructor(limits: ConnectionLimits, nowMs: number) {
    this.#limits = limits;
    this.#heardMs = nowMs;
  }

  heard(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#askedMs = Number.POSITIVE_INFINITY;
  }

  /** When to ask, or to give up. */
  get atMs(): number {
    return Math.min(
      this.#askedMs + this.#limits.keepaliveTimeoutMs,
      this.#askedMs === Number.POSITIVE_INFINITY
        ? this.#heardMs + this.#limits.keepaliveMs
        : Number.POSITIVE_INFINITY,
    );
  }

  onTime(state: ConnectionState): void {
    if (state.isFailed || state.nowMs < this.atMs) return;
    if (this.#askedMs === Number.POSITIVE_INFINITY) {
      this.#askedMs = state.nowMs;
      writePing(state.output, PING, 0, false);
      return;
    }
    state.handler.onLimit('keepalive_time');
    state.fail(ErrorCode.NO_ERROR, 'the peer has gone silent');
  }
}
