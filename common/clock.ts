// Time as a dependency: shells get the real clock, tests a virtual one. Monotonic, in milliseconds
// with fractions; it says nothing about the date.

export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  nowMs(): number;
  /** Calls back once after `delayMs`; the function returned cancels that. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Node holds a process open for a timer; `unref` timers do not. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.max(0, delayMs));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

interface Pending {
  dueMs: number;
  order: number;
  callback: () => void;
}

/** A clock that moves only when told, for tests and simulation. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #pending: Pending[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const entry = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#pending.push(entry);
    return () => {
      this.#pending = this.#pending.filter((other) => other !== entry);
    };
  }

  /** Moves time on, running what falls due in order of time, then of its making. */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      const due = this.#pending
        .filter((entry) => entry.dueMs <= endMs)
        .sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0];
      if (due === undefined) break;
      this.#pending = this.#pending.filter((entry) => entry !== due);
      this.#nowMs = Math.max(this.#nowMs, due.dueMs);
      due.callback();
    }
    this.#nowMs = endMs;
  }
}
