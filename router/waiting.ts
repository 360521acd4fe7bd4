// Calls for a known model between copies: they wait until one is READY, or until just before their
// deadline. Pure: the room says who may go on and who is too late; who holds it owns the clock.
// Full, it refuses with UNAVAILABLE, which clients take as "try again with backoff" (a quota would
// be RESOURCE_EXHAUSTED; this is nobody's quota).
import { Code, StatusError, unavailable } from '../common/status.ts';

export interface WaitingLimits {
  /** Over all models. One more is refused. */
  readonly maxCalls: number;
  /** Bytes of their requests. A call that would exceed it is refused. */
  readonly maxBytes: number;
}

export const WAITING_LIMITS: WaitingLimits = { maxCalls: 1_000, maxBytes: 256 * 1024 * 1024 };

/** A call is told so long before its deadline why it waited in vain; later it would not hear it. */
export const WAITING_MARGIN_MS = 10;

export interface Waiter {
  readonly model: string;
  readonly sizeBytes: number;
  /** On the clock of `expired`. */
  readonly deadlineMs: number;
}

export class WaitingRoom<T extends Waiter> {
  readonly #limits: WaitingLimits;
  /** In the order of coming, each with its bytes then: more of a request may come as it waits. */
  readonly #waiters = new Map<T, number>();
  #bytes = 0;

  constructor(limits: WaitingLimits = WAITING_LIMITS) {
    this.#limits = limits;
  }

  get calls(): number {
    return this.#waiters.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Undefined: it waits. Else why it can't. */
  enter(waiter: T): StatusError | undefined {
    const { maxCalls, maxBytes } = this.#limits;
    if (this.#waiters.size >= maxCalls || this.#bytes + waiter.sizeBytes > maxBytes) {
      return unavailable(
        `no copy of model '${waiter.model}' is ready and too many calls wait already: ` +
          `${this.#waiters.size} of ${maxCalls} calls, ${this.#bytes} of ${maxBytes} bytes`,
      );
    }
    this.#waiters.set(waiter, waiter.sizeBytes);
    this.#bytes += waiter.sizeBytes;
    return undefined;
  }

  /** True: it waited here. */
  leave(waiter: T): boolean {
    const bytes = this.#waiters.get(waiter);
    if (bytes === undefined) return false;
    this.#waiters.delete(waiter);
    this.#bytes -= bytes;
    return true;
  }

  /** Takes out those that no longer need to wait, in the order of coming. */
  release(mayGo: (waiter: T) => boolean): readonly T[] {
    return this.#takeOut(mayGo);
  }

  /** Takes out those whose time is up. */
  expired(nowMs: number): readonly T[] {
    return this.#takeOut((waiter) => expiryMs(waiter) <= nowMs);
  }

  /** When the next one's time is up; Infinity: nobody waits. */
  nextExpiryMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const waiter of this.#waiters.keys()) next = Math.min(next, expiryMs(waiter));
    return next;
  }

  #takeOut(isOut: (waiter: T) => boolean): readonly T[] {
    const out = [...this.#waiters.keys()].filter(isOut);
    for (const waiter of out) this.leave(waiter);
    return out;
  }
}

function expiryMs(waiter: Waiter): number {
  return waiter.deadlineMs - WAITING_MARGIN_MS;
}

export function waitedInVain(model: string): StatusError {
  return new StatusError(
    Code.DEADLINE_EXCEEDED,
    `no copy of model '${model}' became ready before the call's deadline`,
  );
}
