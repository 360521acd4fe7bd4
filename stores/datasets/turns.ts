// One at a time, in the order of asking: for a connection that can do one thing at once.

export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs when all that asked before are done, well or not. */
  take<Result>(action: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(action);
    this.#last = result.catch(() => {});
    return result;
  }
}
