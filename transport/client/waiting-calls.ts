// Calls that wait for a connection, or for room on one, in their order; bounded, so that a server
// that is slow to come back doesn't cost its clients their memory.
import { Code, StatusError } from '../../common/status.ts';
import type { Outgoing } from './outgoing.ts';

/** One more is refused with RESOURCE_EXHAUSTED. */
export const MAX_WAITING_CALLS = 10_000;
/** What their requests hold; a call beyond it is refused with RESOURCE_EXHAUSTED. */
export const MAX_WAITING_BYTES = 256 * 1024 * 1024;

export class WaitingCalls {
  readonly #maxCalls: number;
  readonly #maxBytes: number;
  readonly #calls = new Set<Outgoing>();
  #bytes = 0;

  constructor(maxCalls = MAX_WAITING_CALLS, maxBytes = MAX_WAITING_BYTES) {
    this.#maxCalls = maxCalls;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#calls.size;
  }

  /** What their requests hold. */
  get bytes(): number {
    return this.#bytes;
  }

  /** In their order. */
  get all(): Iterable<Outgoing> {
    return this.#calls;
  }

  /** Undefined: it waits now. */
  enter(call: Outgoing): StatusError | undefined {
    if (this.#calls.size >= this.#maxCalls) {
      return refused(call.address, `${this.#maxCalls} calls`);
    }
    if (this.#bytes + call.sizeBytes > this.#maxBytes) {
      return refused(call.address, `${this.#maxBytes} bytes of requests`);
    }
    this.#calls.add(call);
    this.#bytes += call.sizeBytes;
    return undefined;
  }

  /** The one that has waited longest. */
  takeFirst(): Outgoing | undefined {
    for (const call of this.#calls) {
      this.leave(call);
      return call;
    }
    return undefined;
  }

  /** False: it did not wait. */
  leave(call: Outgoing): boolean {
    if (!this.#calls.delete(call)) return false;
    this.#bytes -= call.sizeBytes;
    return true;
  }
}

function refused(address: string, what: string): StatusError {
  const text = `more than ${what} would wait for a connection to ${address}; try again later`;
  return new StatusError(Code.RESOURCE_EXHAUSTED, text);
}
