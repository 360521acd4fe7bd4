// Inflates messages: small ones at once, large ones in other threads, a few at a time, so that
// many messages that blow up don't do it all together.
import { type StatusError, statusOf } from '../../common/status.ts';
import { inflateLater, inflateNow } from '../grpc/gzip.ts';

export type Inflated = (result: Uint8Array | StatusError) => void;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly isWanted: () => boolean;
  readonly done: Inflated;
}

export class Inflater {
  readonly #maxMessageBytes: number;
  readonly #most: number;
  #running = 0;
  #waiting: Waiting[] = [];

  /** @param most large messages that are inflated at a time. */
  constructor(maxMessageBytes: number, most: number) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#most = most;
  }

  /** Large messages that are being inflated, or wait for it. */
  get pending(): number {
    return this.#running + this.#waiting.length;
  }

  /**
   * `done` may be called at once; not at all when nobody wants it any more.
   * @param isWanted is asked before it is begun.
   */
  inflate(bytes: Uint8Array, isWanted: () => boolean, done: Inflated): void {
    try {
      const inflated = inflateNow(bytes, this.#maxMessageBytes);
      if (inflated !== undefined) {
        done(inflated);
        return;
      }
    } catch (thrown) {
      done(statusOf(thrown));
      return;
    }
    this.#waiting.push({ bytes, isWanted, done });
    this.#next();
  }

  #next(): void {
    while (this.#running < this.#most) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      if (!next.isWanted()) continue;
      this.#running += 1;
      inflateLater(next.bytes, this.#maxMessageBytes, (result) => {
        this.#running -= 1;
        if (next.isWanted()) next.done(result);
        this.#next();
      });
    }
  }
}
