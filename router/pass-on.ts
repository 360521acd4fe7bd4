// Takes the calls that a listener hands over at their head, and passes each on to a node. What they
// hold while their model isn't known, or so that they can be sent once more, is counted for all of
// them together.
import { Code, StatusError } from '../common/status.ts';
import { MAX_MESSAGE_BYTES, type MethodKind } from '../transport/backend.ts';
import type { RawBackend, RawCall, RawCallee } from '../transport/raw-call.ts';
import { Inflater } from '../transport/server/inflater.ts';
import type { Forwarder } from './forward.ts';
import { PassedForward } from './passed-forward.ts';

/**
 * Bytes of requests that are gathered, or kept to be sent once more. Above it a call that holds
 * more than SMALL_BYTES ends with RESOURCE_EXHAUSTED, and any call above twice that.
 */
export const MAX_HELD_BYTES = 256 * 1024 * 1024;
export const SMALL_BYTES = 64 * 1024;
/** Large compressed requests that are looked into at a time, in other threads; others wait. */
export const MAX_INFLATIONS = 4;

export interface PassOnOptions {
  readonly methods: ReadonlyMap<string, MethodKind>;
  readonly forwarder: Forwarder;
  readonly maxMessageBytes?: number;
  readonly maxHeldBytes?: number;
}

export class PassOn implements RawBackend {
  readonly rawMethods: ReadonlyMap<string, MethodKind>;
  readonly forwarder: Forwarder;
  readonly maxMessageBytes: number;
  readonly inflater: Inflater;
  readonly #maxHeldBytes: number;
  #heldBytes = 0;

  constructor(options: PassOnOptions) {
    this.rawMethods = options.methods;
    this.forwarder = options.forwarder;
    this.maxMessageBytes = options.maxMessageBytes ?? MAX_MESSAGE_BYTES;
    this.#maxHeldBytes = options.maxHeldBytes ?? MAX_HELD_BYTES;
    this.inflater = new Inflater(this.maxMessageBytes, MAX_INFLATIONS);
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  raw(call: RawCall): RawCallee {
    return new PassedForward(call, this.rawMethods.get(call.path) !== 'unary', this);
  }

  /** Undefined: they are held from now on, until letGo(). */
  refusalToHold(bytes: number): StatusError | undefined {
    const max = bytes > SMALL_BYTES ? this.#maxHeldBytes : 2 * this.#maxHeldBytes;
    if (this.#heldBytes + bytes > max) {
      return new StatusError(
        Code.RESOURCE_EXHAUSTED,
        `the router holds ${this.#heldBytes} bytes of requests already, of ` +
          `${this.#maxHeldBytes} at most: try again later`,
      );
    }
    this.#heldBytes += bytes;
    return undefined;
  }

  letGo(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}
