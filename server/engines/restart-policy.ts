// Whether and when an instance's thread that ended is replaced. Pure: the owner keeps the clock.

/** The first replacement comes after this, each further one in a row after twice as long. */
export const FIRST_RESTART_DELAY_MS = 100;
export const MAX_RESTART_DELAY_MS = 10_000;
/** Ends in a row, without a run that succeeded between them; then the model is FAILED. */
export const MAX_ENDS_IN_A_ROW = 5;

export class RestartPolicy {
  #inARow = 0;

  /** Event: a run came back, well or with an error of its own: the thread lives. */
  ran(): void {
    this.#inARow = 0;
  }

  /** Event: the thread ended. How long to wait with the next, or undefined: give up. */
  ended(): number | undefined {
    this.#inARow++;
    if (this.#inARow >= MAX_ENDS_IN_A_ROW) return undefined;
    return Math.min(MAX_RESTART_DELAY_MS, FIRST_RESTART_DELAY_MS * 2 ** (this.#inARow - 1));
  }
}
