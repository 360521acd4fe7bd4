// What was started, to be stopped in reverse; one that fails to stop does not keep the others.
import type { Log } from '../../common/log.ts';

export class Closers {
  readonly #log: Log;
  #steps: { readonly name: string; run(): Promise<void> | void }[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  add(name: string, run: () => Promise<void> | void): void {
    this.#steps.push({ name, run });
  }

  /** Runs all, last added first. Twice is fine. */
  async close(): Promise<void> {
    const steps = this.#steps.reverse();
    this.#steps = [];
    for (const step of steps) {
      try {
        await step.run();
      } catch (error) {
        this.#log.error({ err: error, step: step.name }, 'could not be stopped cleanly');
      }
    }
  }
}
