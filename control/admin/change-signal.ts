// Wakes one who watches something: at once when told of a change, else when it is time to look
// anyway.
import type { Clock } from '../../common/clock.ts';

export class ChangeSignal {
  readonly #clock: Clock;
  #hasChanged = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A change that comes while nobody waits ends the next wait at once. */
  tell(): void {
    this.#hasChanged = true;
    this.#wake?.();
  }

  /** Resolves after a change, after `timeoutMs`, or when the caller has gone. */
  async next(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#hasChanged && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(timeoutMs, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
        signal.addEventListener('abort', this.#wake, { once: true });
      });
    }
    if (this.#wake !== undefined) signal.removeEventListener('abort', this.#wake);
    this.#wake = undefined;
    this.#hasChanged = false;
  }
}
