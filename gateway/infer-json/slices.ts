// Long work on a thread that others need too: done in slices, between which everybody else runs.
import { setImmediate } from 'node:timers/promises';

/** Work that stops at each yield, to be gone on with. */
export type Slices<T> = Generator<undefined, T, undefined>;

export async function inSlices<T>(work: Slices<T>): Promise<T> {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    await setImmediate();
  }
}

/** All slices at once. */
export function atOnce<T>(work: Slices<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
