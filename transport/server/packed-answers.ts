// Keeps the answers of a stream in order while some of them are being compressed: large ones are
// packed in another thread, and those behind them wait.
import { StatusError } from '../../common/status.ts';
import { deflateLater, deflateNow } from '../grpc/gzip.ts';

interface Waiting {
  readonly message: Uint8Array;
  readonly isCompressed: boolean;
}

export class PackedAnswers {
  readonly #put: (bytes: Uint8Array, isCompressed: boolean) => boolean;
  readonly #drained: () => void;
  readonly #waiting: Waiting[] = [];
  #isPacking = false;
  #hasRoom = true;
  #last: (() => void) | undefined;

  /**
   * @param put sends a message as it is; false: the caller is slow.
   * @param drained nothing waits here any more, after send() had given false.
   */
  constructor(put: (bytes: Uint8Array, isCompressed: boolean) => boolean, drained: () => void) {
    this.#put = put;
    this.#drained = drained;
  }

  get isBusy(): boolean {
    return this.#isPacking;
  }

  send(message: Uint8Array, isCompressed: boolean): boolean {
    this.#waiting.push({ message, isCompressed });
    if (!this.#isPacking) this.#work();
    return this.#hasRoom && !this.#isPacking;
  }

  /** Behind all that waits; nothing is sent after that. */
  whenSent(last: () => void): void {
    if (this.#isPacking) this.#last = last;
    else last();
  }

  #work(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { message, isCompressed } = next;
      const packed = isCompressed ? deflateNow(message) : message;
      if (packed === undefined) {
        this.#isPacking = true;
        deflateLater(message, (result) => this.#packed(message, result));
        return;
      }
      this.#hasRoom = this.#put(packed, isCompressed);
    }
  }

  /** What can't be packed is sent as it is. */
  #packed(message: Uint8Array, result: Uint8Array | StatusError): void {
    this.#isPacking = false;
    const isPacked = !(result instanceof StatusError);
    this.#hasRoom = this.#put(isPacked ? result : message, isPacked);
    this.#work();
    if (this.#isPacking) return;
    if (this.#last !== undefined) this.#last();
    else if (this.#hasRoom) this.#drained();
  }
}
