// Thousands of deadlines with one timer: entries hang in slots by the time they are due, the finer
// the nearer they are (a hierarchical timing wheel). To add and to take out costs the same however
// many there are, and allocates nothing; no deadline is too far away. Pure: the time goes in.

/** What waits in a wheel; it stands in one slot at a time, and the wheel uses its links. */
export interface Due {
  /** Only changed while it is in no wheel. */
  readonly deadlineMs: number;
  slot: Slot | undefined;
  nextDue: Due | undefined;
  previousDue: Due | undefined;
  /** Its deadline has passed; it is in no slot any more. */
  onDue(nowMs: number): void;
}

export interface Slot {
  first: Due | undefined;
}

/** Deadlines are kept so exactly; nothing is due early. */
export const TICK_MS = 4;
const SLOTS = 64;
/** Ticks of one slot, level by level: 4 ms, a quarter of a second, 16 seconds, 17 minutes. */
const LEVEL_TICKS = [1, SLOTS, SLOTS ** 2, SLOTS ** 3] as const;
/** What is due later than that waits in the last slot, and is looked at again. */
const MOST_TICKS = (SLOTS - 1) * LEVEL_TICKS[3];

export class DeadlineWheel {
  readonly #levels: readonly (readonly Slot[])[] = LEVEL_TICKS.map(() =>
    Array.from({ length: SLOTS }, () => ({ first: undefined })),
  );
  #nowTick: number;
  #sizeOf = 0;
  #earliestTick = Number.POSITIVE_INFINITY;

  constructor(nowMs: number) {
    this.#nowTick = tickOf(nowMs);
  }

  /** Entries that wait. */
  get size(): number {
    return this.#sizeOf;
  }

  /** When advance() has to be called; Infinity: nothing waits. */
  get atMs(): number {
    return this.#earliestTick * TICK_MS;
  }

  /** An entry whose deadline is Infinity is not kept. */
  add(entry: Due, nowMs: number): void {
    if (entry.deadlineMs === Number.POSITIVE_INFINITY) return;
    if (this.#sizeOf === 0) {
      this.#nowTick = tickOf(nowMs);
      this.#earliestTick = Number.POSITIVE_INFINITY;
    }
    this.#sizeOf += 1;
    this.#put(entry);
  }

  /** Nothing happens when it is in no slot. */
  remove(entry: Due): void {
    const { slot, nextDue, previousDue } = entry;
    if (slot === undefined) return;
    if (previousDue === undefined) slot.first = nextDue;
    else previousDue.nextDue = nextDue;
    if (nextDue !== undefined) nextDue.previousDue = previousDue;
    entry.slot = undefined;
    entry.nextDue = undefined;
    entry.previousDue = undefined;
    this.#sizeOf -= 1;
  }

  /** Tells all that is due. */
  advance(nowMs: number): void {
    const lastTick = tickOf(nowMs);
    for (;;) {
      this.#earliestTick = this.#nextTick();
      if (this.#earliestTick > lastTick) break;
      this.#nowTick = this.#earliestTick;
      this.#turn(nowMs);
    }
    if (lastTick > this.#nowTick) this.#nowTick = lastTick;
  }

  /** What has come nearer goes to a finer level; what is due is told. */
  #turn(nowMs: number): void {
    for (let level = LEVEL_TICKS.length - 1; level >= 0; level -= 1) {
      if (this.#nowTick % (LEVEL_TICKS[level] ?? 1) !== 0) continue;
      const slot = this.#slotOf(level, this.#nowTick);
      // What is put back never comes into the slot that is being emptied: it is due later.
      for (let entry = slot.first; entry !== undefined; entry = slot.first) {
        this.remove(entry);
        if (entry.deadlineMs > nowMs) {
          this.#sizeOf += 1;
          this.#put(entry);
        } else entry.onDue(nowMs);
      }
    }
  }

  #put(entry: Due): void {
    const dueTick = Math.max(Math.ceil(entry.deadlineMs / TICK_MS), this.#nowTick + 1);
    const ticks = Math.min(dueTick - this.#nowTick, MOST_TICKS);
    const at = this.#nowTick + ticks;
    let level = 0;
    while (ticks >= (LEVEL_TICKS[level + 1] ?? Number.POSITIVE_INFINITY)) level += 1;
    const levelTicks = LEVEL_TICKS[level] ?? 1;
    const slot = this.#slotOf(level, at);
    entry.slot = slot;
    entry.previousDue = undefined;
    entry.nextDue = slot.first;
    if (slot.first !== undefined) slot.first.previousDue = entry;
    slot.first = entry;
    this.#earliestTick = Math.min(this.#earliestTick, at - (at % levelTicks));
  }

  #slotOf(level: number, tick: number): Slot {
    const at = Math.floor(tick / (LEVEL_TICKS[level] ?? 1)) % SLOTS;
    const slot = this.#levels[level]?.[at];
    if (slot === undefined) throw new RangeError(`no slot ${at} on level ${level}`);
    return slot;
  }

  /** The first tick from now on at which a slot with something in it comes up. */
  #nextTick(): number {
    let earliest = Number.POSITIVE_INFINITY;
    if (this.#sizeOf === 0) return earliest;
    for (let level = 0; level < LEVEL_TICKS.length; level += 1) {
      const ticks = LEVEL_TICKS[level] ?? 1;
      const first = Math.floor(this.#nowTick / ticks) + 1;
      for (let turn = first; turn < first + SLOTS && turn * ticks < earliest; turn += 1) {
        if (this.#slotOf(level, turn * ticks).first !== undefined) earliest = turn * ticks;
      }
    }
    return earliest;
  }
}

function tickOf(nowMs: number): number {
  return Math.floor(nowMs / TICK_MS);
}
