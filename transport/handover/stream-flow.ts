// Flow control of one direction of a handed-over stream: the sender holds when so much is under
// way, the receiver says what it has given on, and keeps the rest while its side holds.

/** Under way on one stream, one way; then the sender is told to hold. */
export const STREAM_WINDOW_BYTES = 256 * 1024;
/** What a message counts beside its bytes, so that empty ones are bounded too. */
const MESSAGE_COST_BYTES = 64;

export function costOf(message: Uint8Array): number {
  return message.length + MESSAGE_COST_BYTES;
}

export class Outflow {
  #underWayBytes = 0;
  #isHeld = false;

  /** A message leaves. False: hold until `taken` says true. */
  sent(message: Uint8Array): boolean {
    this.#underWayBytes += costOf(message);
    this.#isHeld = this.#underWayBytes >= STREAM_WINDOW_BYTES;
    return !this.#isHeld;
  }

  /** The other end has given so much on. True: there is room again after a hold. */
  taken(sizeBytes: number): boolean {
    this.#underWayBytes -= sizeBytes;
    if (!this.#isHeld || this.#underWayBytes >= STREAM_WINDOW_BYTES / 2) return false;
    this.#isHeld = false;
    return true;
  }
}

export interface InflowEnds {
  /** Gives a message on. False: no more until `go`. */
  give(message: Uint8Array): boolean;
  /** Everything was given, and no more comes. */
  end(): void;
  /** Tells the sender. */
  taken(sizeBytes: number): void;
}

export class Inflow {
  readonly #ends: InflowEnds;
  #waiting: Uint8Array[] = [];
  #isHeld = false;
  #isEnding = false;
  #isOver = false;
  #isGiving = false;

  constructor(ends: InflowEnds) {
    this.#ends = ends;
  }

  push(message: Uint8Array): void {
    this.#waiting.push(message);
    this.#give();
  }

  /** After what waits. */
  end(): void {
    this.#isEnding = true;
    this.#give();
  }

  hold(): void {
    this.#isHeld = true;
  }

  go(): void {
    this.#isHeld = false;
    this.#give();
  }

  /** Nothing is given any more. */
  drop(): void {
    this.#isOver = true;
    this.#waiting = [];
  }

  /** Whoever is given something may hold, go on, or end it all: a loop, never deeper. */
  #give(): void {
    if (this.#isGiving) return;
    this.#isGiving = true;
    let takenBytes = 0;
    while (!this.#isHeld && !this.#isOver) {
      const message = this.#waiting.shift();
      if (message === undefined) break;
      takenBytes += costOf(message);
      if (!this.#ends.give(message)) this.#isHeld = true;
    }
    this.#isGiving = false;
    if (takenBytes > 0 && !this.#isOver) this.#ends.taken(takenBytes);
    if (!this.#isEnding || this.#isHeld || this.#isOver || this.#waiting.length > 0) return;
    this.#isOver = true;
    this.#ends.end();
  }
}
