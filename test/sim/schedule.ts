// Virtual time: what is to happen, in its order. One thing at a time, and before the next one
// everything that follows from it at once (promises included) has run, so that a run depends on
// nothing but what was planned. No real timer, no real time.

export interface Planned {
  readonly dueMs: number;
  readonly order: number;
  /** Undefined: cancelled, or done. */
  run: (() => void) | undefined;
}

/** At one moment; with more, something goes round in a circle. */
const MAX_STEPS_AT_ONCE = 100_000;

export class Schedule {
  #nowMs = 0;
  #order = 0;
  #steps = 0;
  #stepsAtOnce = 0;
  /** A binary heap by time, then by order of planning. */
  readonly #heap: Planned[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  /** Things that have happened. */
  get steps(): number {
    return this.#steps;
  }

  /** A moment that has passed is now. */
  at(dueMs: number, run: () => void): Planned {
    const planned = { dueMs: Math.max(dueMs, this.#nowMs), order: this.#order++, run };
    this.#push(planned);
    return planned;
  }

  after(delayMs: number, run: () => void): Planned {
    return this.at(this.#nowMs + delayMs, run);
  }

  /** Runs what is due up to that moment; rejects with what one of them throws. */
  runUntil(endMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      // A tick that is asked for in a microtask comes when no microtask is left.
      const next = (): void => process.nextTick(step);
      const step = (): void => {
        const planned = this.#next(endMs);
        if (planned === undefined) {
          this.#nowMs = Math.max(this.#nowMs, endMs);
          resolve();
          return;
        }
        this.#stepsAtOnce = planned.dueMs > this.#nowMs ? 0 : this.#stepsAtOnce + 1;
        if (this.#stepsAtOnce > MAX_STEPS_AT_ONCE) {
          reject(
            new Error(`time stands still at ${this.#nowMs} ms: somebody asks for more at once`),
          );
          return;
        }
        const { run } = planned;
        planned.run = undefined;
        this.#nowMs = planned.dueMs;
        this.#steps += 1;
        try {
          run?.();
        } catch (thrown) {
          reject(thrown);
          return;
        }
        queueMicrotask(next);
      };
      queueMicrotask(next);
    });
  }

  #next(endMs: number): Planned | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.dueMs > endMs) return undefined;
      this.#pop();
      if (first.run !== undefined) return first;
    }
  }

  #push(planned: Planned): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(planned);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt] as Planned;
      if (!isBefore(planned, parent)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = planned;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Planned;
    const size = heap.length;
    if (size === 0) return;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= size) break;
      const right = heap[childAt + 1];
      if (right !== undefined && isBefore(right, heap[childAt] as Planned)) childAt += 1;
      const child = heap[childAt] as Planned;
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
  }
}

function isBefore(a: Planned, b: Planned): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}
