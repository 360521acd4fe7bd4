// The end of a turn of the event loop, as one thing of its thread: first what the turn brought
// together is worked on (batches that run on this thread), then what came of it is sent. Each with
// an immediate of its own, answers would leave a whole turn later than their batch is done.
//
// Both come after everything that was ready in the turn: one batch takes all of its requests, one
// write all of a connection's answers. What is added to a phase while it runs, or after it, waits
// for the next turn, so that a turn always ends.

/**
 * Once so much of a turn went into work, the rest of it waits for the next turn, where it is first:
 * sockets are read meanwhile. Longer by the last piece of work, no more.
 */
export const TURN_WORK_MS = 2;

export interface TickEnd {
  /** Calls back once, when the turn has read what was ready. */
  work(callback: () => void): void;
  /** Calls back once, after the turn's work. */
  send(callback: () => void): void;
}

export interface TickEndOptions {
  /** Calls back once what is ready now has been read. */
  readonly atTurnEnd: (callback: () => void) => void;
  readonly nowMs: () => number;
}

/** A callback that throws keeps no other from being called. */
export function createTickEnd({ atTurnEnd, nowMs }: TickEndOptions): TickEnd {
  const work = new Phase();
  const send = new Phase();
  let isSet = false;

  function set(): void {
    if (isSet) return;
    isSet = true;
    atTurnEnd(end);
  }

  function end(): void {
    try {
      work.begin();
      const untilMs = work.size > 1 ? nowMs() + TURN_WORK_MS : Number.POSITIVE_INFINITY;
      while (work.callNext() && (untilMs === Number.POSITIVE_INFINITY || nowMs() < untilMs));
      send.begin();
      while (send.callNext());
    } finally {
      work.end();
      send.end();
      isSet = false;
      if (work.size + send.size > 0) set();
    }
  }

  return {
    work(callback) {
      work.add(callback);
      set();
    },
    send(callback) {
      send.add(callback);
      set();
    },
  };
}

/** Callbacks in order. The memory is used again, and keeps nothing alive. */
class Phase {
  readonly #callbacks: (() => void)[] = [];
  #size = 0;
  #at = 0;
  #until = 0;

  /** Those that wait. */
  get size(): number {
    return this.#size;
  }

  add(callback: () => void): void {
    this.#callbacks[this.#size] = callback;
    this.#size += 1;
  }

  /** What is there now is what this turn calls. */
  begin(): void {
    this.#until = this.#size;
  }

  /** False: the turn has called all that it is to call. */
  callNext(): boolean {
    if (this.#at === this.#until) return false;
    const callback = this.#callbacks[this.#at] ?? NOTHING;
    this.#at += 1;
    callback();
    return true;
  }

  /** What was not called is first in the next turn. */
  end(): void {
    const called = this.#at;
    const left = this.#size - called;
    this.#callbacks.copyWithin(0, called, this.#size);
    this.#callbacks.fill(NOTHING, left, this.#size);
    this.#size = left;
    this.#at = 0;
    this.#until = 0;
  }
}

function NOTHING(): void {}

/** This thread's. */
export const tickEnd: TickEnd = createTickEnd({
  atTurnEnd: setImmediate,
  nowMs: () => performance.now(),
});
