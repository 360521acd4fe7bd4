// How many calls may be on their second try after a node said no: a share of the calls that are
// out. Without that bound a cluster that is short of capacity gets twice the load when it can least
// take it. Pure.

/** Of live calls ... */
export const RETRY_SHARE = 0.2;
/** ... and never fewer than so many, or a quiet router could not retry at all. */
export const MIN_RETRIES = 3;

export class RetryBudget {
  /** Calls that are sent and not yet answered, first tries and later ones. */
  #live = 0;
  #retries = 0;

  /** True: the try may be made; `ended` must follow, with `isRetry`. */
  tryRetry(): boolean {
    if (this.#retries >= Math.max(MIN_RETRIES, RETRY_SHARE * this.#live)) return false;
    this.#retries += 1;
    return true;
  }

  began(): void {
    this.#live += 1;
  }

  ended(isRetry: boolean): void {
    this.#live -= 1;
    if (isRetry) this.#retries -= 1;
  }
}
