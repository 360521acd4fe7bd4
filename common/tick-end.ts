// The end of a turn of the event loop, as one thing of its thread: first what the turn brought
// together is worked on (batches that run on this thread), then what came of it is sent. Each with
// an immediate of its own, answers would leave a whole turn later than their batch is done.
//
// Both come after everything that was ready in the turn: one batch takes all of its requests, one
// write all of a connection's answers. What is added to a phase while it runs, or after it, waits
// for the next turn, so that a turn always ends.
//
// Where one reader alone has brought something for a while, nothing else will come in the turn: its
// end begins with the end of the read, which saves the way through the event loop. A second reader
// ends that, so what comes over several connections meets in one batch as before.
import { BusyPoll } from './busy-poll.ts';

/**
 * Once so much of a turn went into work, the rest of it waits for the next turn, where it is first:
 * sockets are read meanwhile. Longer by the last piece of work, no more.
 */
export const TURN_WORK_MS = 2;

/** So many reads of one reader in a row, and of no other that left something, make it alone. */
export const READS_ALONE = 16;

export interface TickEnd {
  /** Calls back once, when the turn has read what was ready. */
  work(callback: () => void): void;
  /** Calls back once, after the turn's work. */
  send(callback: () => void): void;
  /** Something is being read, and handled: up to endRead(), which must follow. */
  beginRead(): void;
  /**
   * @param reader its number, to tell it from others
   * @param isAll nothing more is there to be read now
   */
  endRead(reader: number, isAll: boolean): void;
}

export interface TickEndOptions {
  /** Calls back once what is ready now has been read. */
  readonly atTurnEnd: (callback: () => void) => void;
  readonly nowMs: () => number;
  /** Told of reads, and of the ends of turns. */
  readonly poll?: BusyPoll;
}

/** A callback that throws keeps no other from being called. */
export function createTickEnd({ atTurnEnd, nowMs, poll }: TickEndOptions): TickEnd {
  const works = new Waiting();
  const sends = new Waiting();
  let isSet = false;
  let isReading = false;
  let lastReader = Number.NaN;
  let readsAlone = 0;

  function set(): void {
    if (isSet || isReading) return;
    isSet = true;
    atTurnEnd(end);
  }

  function end(): void {
    isSet = true;
    let work = works.take();
    let send: Entry | undefined;
    try {
      const untilMs = work?.next === undefined ? 0 : nowMs() + TURN_WORK_MS;
      while (work !== undefined) {
        const { callback } = work;
        work = work.next;
        callback();
        if (work !== undefined && nowMs() >= untilMs) break;
      }
      send = sends.take();
      while (send !== undefined) {
        const { callback } = send;
        send = send.next;
        callback();
      }
    } finally {
      isSet = false;
      works.putBack(work);
      sends.putBack(send);
      if (works.first !== undefined || sends.first !== undefined) set();
      else poll?.ended();
    }
  }

  return {
    work(callback) {
      works.add(callback);
      set();
    },
    send(callback) {
      sends.add(callback);
      set();
    },
    beginRead() {
      isReading = true;
      poll?.began();
    },
    endRead(reader, isAll) {
      isReading = false;
      if (works.first === undefined && sends.first === undefined) return;
      readsAlone = reader === lastReader && !isSet ? readsAlone + 1 : 0;
      lastReader = reader;
      if (isAll && readsAlone >= READS_ALONE) end();
      else set();
    },
  };
}

interface Entry {
  readonly callback: () => void;
  next: Entry | undefined;
}

/** First in, first out. A list, as an array that is emptied each turn costs more and keeps more. */
class Waiting {
  first: Entry | undefined = undefined;
  last: Entry | undefined = undefined;

  add(callback: () => void): void {
    const entry: Entry = { callback, next: undefined };
    if (this.last === undefined) this.first = entry;
    else this.last.next = entry;
    this.last = entry;
  }

  /** All of them; none waits any more. */
  take(): Entry | undefined {
    const { first } = this;
    this.first = undefined;
    this.last = undefined;
    return first;
  }

  /** What was left of those taken comes before those that were added since. */
  putBack(left: Entry | undefined): void {
    if (left === undefined) return;
    let end = left;
    while (end.next !== undefined) end = end.next;
    end.next = this.first;
    this.first = left;
    this.last ??= end;
  }
}

const nowMs = (): number => performance.now();

/** This thread's. Off until it is given a budget. */
export const busyPoll = new BusyPoll({ nextTurn: setImmediate, nowMs });

/** This thread's. */
export const tickEnd: TickEnd = createTickEnd({ atTurnEnd: setImmediate, nowMs, poll: busyPoll });
