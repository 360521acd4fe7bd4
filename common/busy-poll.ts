// Looking for the next event instead of sleeping until it comes. A thread that sleeps needs tens of
// microseconds to wake up, in which its core's caches grow cold as well: where calls come one at a
// time, each as soon as the last was answered, that is most of what they take.
//
// It is done only where it pays: once three quarters of the last pauses of the thread were short,
// and as long as they are. So a thread that is idle, or is called now and then, sleeps. What it
// costs is bounded by that: in sixteen pauses five may be looked into in vain, for the budget each;
// and where it was given up soon, it is tried again less and less often. (Giving up after two in
// vain made p99 1.7 times as long: a client that was held up twice had all calls after it sleep.)

/** So long a thread looks for more before it sleeps; 0: it sleeps at once. */
export const DEFAULT_BUSY_POLL_US = 64;
export const MAX_BUSY_POLL_US = 10_000;
/** A pause that was slept through has the time to wake up in it: it counts as half as long. */
const SLEPT_SHARE = 2;
/** So many pauses are remembered, */
const REMEMBERED = 16;
/** and so many of them must have been short. */
const SHORT_OF_THEM = 12;
/** Where it was given up, so many pauses pass before it is tried again; twice as many each time, */
const FIRST_REST = 16;
const LONGEST_REST = 512;
/** until it went well for so many. */
const WELL = 256;

export interface BusyPollOptions {
  readonly nowMs: () => number;
  /** Calls back in the next turn of the event loop, which then doesn't wait for events. */
  readonly nextTurn: (callback: () => void) => void;
}

export class BusyPoll {
  readonly #options: BusyPollOptions;
  #budgetMs = 0;
  /** End of the last turn that did something; NaN: a read came since, or a look was in vain. */
  #quietSinceMs = Number.NaN;
  #untilMs = 0;
  #isLooking = false;
  /** A bit for each pause remembered, the last one lowest; set: it was short. */
  #history = 0;
  #short = 0;
  /** Pauses that pass before it may look. */
  #rest = 0;
  #nextRest = FIRST_REST;
  /** Pauses looked into since it last rested. */
  #looked = 0;

  constructor(options: BusyPollOptions) {
    this.#options = options;
  }

  /** @param budgetUs 0: never */
  setBudget(budgetUs: number): void {
    this.#budgetMs = budgetUs / 1_000;
  }

  /** Something has come. */
  began(): void {
    if (Number.isNaN(this.#quietSinceMs)) return;
    const pauseMs = this.#options.nowMs() - this.#quietSinceMs;
    this.#note(pauseMs <= (this.#isLooking ? this.#budgetMs : this.#budgetMs * SLEPT_SHARE));
    this.#quietSinceMs = Number.NaN;
  }

  /** All that has come is done with. */
  ended(): void {
    if (this.#budgetMs === 0) return;
    this.#quietSinceMs = this.#options.nowMs();
    if (this.#short < SHORT_OF_THEM || this.#rest > 0) return;
    this.#untilMs = this.#quietSinceMs + this.#budgetMs;
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#options.nextTurn(this.#look);
  }

  readonly #look = (): void => {
    const isQuiet = !Number.isNaN(this.#quietSinceMs);
    if (isQuiet && this.#options.nowMs() < this.#untilMs) {
      this.#options.nextTurn(this.#look);
      return;
    }
    this.#isLooking = false;
    if (!isQuiet) return;
    this.#note(false);
    this.#quietSinceMs = Number.NaN;
  };

  #note(isShort: boolean): void {
    const oldest = (this.#history >>> (REMEMBERED - 1)) & 1;
    const bit = isShort ? 1 : 0;
    this.#short += bit - oldest;
    this.#history = ((this.#history << 1) | bit) & ((1 << REMEMBERED) - 1);
    if (this.#rest > 0) {
      this.#rest -= 1;
      return;
    }
    if (this.#short >= SHORT_OF_THEM) {
      this.#looked += 1;
      if (this.#looked === WELL) this.#nextRest = FIRST_REST;
    } else if (this.#looked > 0) {
      this.#rest = this.#nextRest;
      this.#nextRest = Math.min(LONGEST_REST, this.#nextRest * 2);
      this.#looked = 0;
    }
  }
}
