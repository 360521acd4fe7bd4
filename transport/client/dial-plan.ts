// When to dial, and what becomes of calls that find no room meanwhile: one attempt at a time, more
// connections only while each is full, and after a failure a pause that grows and is never the same
// for two clients. Moments come in, a decision comes out: it knows no sockets and no timers.

/** The first pause after a failed attempt, and between the starts of two attempts. */
export const RECONNECT_MIN_MS = 100;
/** Pauses grow up to this. */
export const RECONNECT_MAX_MS = 2_000;
/** Of one client to one address; when all are full, calls wait until a stream ends. */
export const MAX_CONNECTIONS = 8;

/** How much a pause grows from failure to failure. */
const GROWTH = 1.6;
/** A pause is up to so much longer or shorter: clients that failed together come back apart. */
const JITTER = 0.2;

export interface DialPlanOptions {
  readonly minMs: number;
  readonly maxMs: number;
  readonly maxConnections: number;
  /** In [0, 1). */
  readonly random: () => number;
}

/**
 * 'dial': begin an attempt now. 'wait': a connection may come, or get room. 'refuse': the last
 * attempt failed, and the next is not due.
 */
export type DialAnswer = 'dial' | 'wait' | 'refuse';

export class DialPlan {
  readonly #options: DialPlanOptions;
  /** Connections that take calls, full or not. */
  #open = 0;
  #isDialing = false;
  #startedMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(options: DialPlanOptions) {
    this.#options = options;
  }

  /** A call is there and no connection has room. After 'dial' an attempt is under way. */
  ask(nowMs: number): DialAnswer {
    if (this.#isDialing || this.#open >= this.#options.maxConnections) return 'wait';
    if (nowMs < this.#notBeforeMs) return this.isRefusing(nowMs) ? 'refuse' : 'wait';
    this.#isDialing = true;
    this.#startedMs = nowMs;
    return 'dial';
  }

  /** The attempt gave a connection that takes calls. */
  connected(): void {
    this.#isDialing = false;
    this.#open += 1;
    this.#failures = 0;
    this.#notBeforeMs = this.#startedMs + this.#pauseMs();
  }

  /** The attempt failed. True: calls that wait have nothing to wait for. */
  failed(nowMs: number): boolean {
    this.#isDialing = false;
    this.#failures += 1;
    this.#notBeforeMs = nowMs + this.#pauseMs();
    return this.#open === 0;
  }

  /** A connection takes no more calls: it is lost, or told to end. */
  ended(): void {
    this.#open -= 1;
  }

  /** When to ask again after 'wait', if nothing happens before; Infinity: something will. */
  get wakeAtMs(): number {
    const isFull = this.#open >= this.#options.maxConnections;
    return this.#isDialing || isFull ? Number.POSITIVE_INFINITY : this.#notBeforeMs;
  }

  get isDialing(): boolean {
    return this.#isDialing;
  }

  /** Calls that come now are refused. */
  isRefusing(nowMs: number): boolean {
    if (this.#open > 0 || this.#isDialing || this.#failures === 0) return false;
    return nowMs < this.#notBeforeMs;
  }

  #pauseMs(): number {
    const { minMs, maxMs, random } = this.#options;
    const grown = minMs * GROWTH ** Math.max(0, this.#failures - 1);
    return Math.min(grown, maxMs) * (1 + JITTER * (2 * random() - 1));
  }
}
