// Messages that one side pushes and the other takes with `for await`: the bridge between callbacks
// and async iteration, off the hot path.
import { MAX_MESSAGE_BYTES } from './backend.ts';

/** With more messages waiting the pusher is told to hold. */
export const MAX_QUEUED_MESSAGES = 16;
/** The same in bytes: one message of the largest size, or many small ones. */
export const MAX_QUEUED_BYTES = MAX_MESSAGE_BYTES;

interface Waiter {
  resolve(result: IteratorResult<Uint8Array, undefined>): void;
  reject(error: unknown): void;
}

type End = { readonly error: unknown } | 'end';

export class MessageQueue implements AsyncIterableIterator<Uint8Array, undefined> {
  /** There is room again after a push that returned false. */
  onRoom: (() => void) | undefined;
  /** The taker left before the end. */
  onReturn: (() => void) | undefined;
  readonly #messages: Uint8Array[] = [];
  #waitingBytes = 0;
  #waiter: Waiter | undefined;
  #end: End | undefined;
  #isFull = false;

  /** False: hold until onRoom. The message is taken all the same. */
  push(message: Uint8Array): boolean {
    if (this.#end !== undefined) return false;
    const waiter = this.#waiter;
    if (waiter !== undefined) {
      this.#waiter = undefined;
      waiter.resolve({ value: message, done: false });
      return true;
    }
    this.#messages.push(message);
    this.#waitingBytes += message.byteLength;
    this.#isFull =
      this.#messages.length >= MAX_QUEUED_MESSAGES || this.#waitingBytes >= MAX_QUEUED_BYTES;
    return !this.#isFull;
  }

  end(): void {
    this.#finish('end');
  }

  /** Messages pushed before are still taken, then `error` is thrown. */
  fail(error: unknown): void {
    this.#finish({ error });
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const message = this.#messages.shift();
    if (message !== undefined) {
      this.#waitingBytes -= message.byteLength;
      if (this.#isFull && this.#messages.length === 0) {
        this.#isFull = false;
        this.onRoom?.();
      }
      return { value: message, done: false };
    }
    if (this.#end === 'end') return { value: undefined, done: true };
    if (this.#end !== undefined) throw this.#end.error;
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    const wasOpen = this.#end === undefined;
    this.#messages.length = 0;
    this.#finish('end');
    if (wasOpen) this.onReturn?.();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (end === 'end') waiter?.resolve({ value: undefined, done: true });
    else waiter?.reject(end.error);
  }
}
