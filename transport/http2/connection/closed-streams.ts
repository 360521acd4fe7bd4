// How the latest streams ended. A frame for a stream that is gone means different things: late
// after our own reset it is ignored, after the peer's END_STREAM or reset it is an error (RFC 9113,
// 5.1). Memory is bounded: of streams long gone it only knows that it has forgotten them.

export const Ending = {
  /** This stream never was, its id was passed over. */
  NEVER_OPENED: 0,
  /** Too long ago to know. */
  FORGOTTEN: 1,
  /** END_STREAM went both ways. */
  ENDED: 2,
  RESET_BY_PEER: 3,
  /** We sent RST_STREAM: what the peer sent before it knew is ignored. */
  RESET_BY_US: 4,
} as const;

/** Remembered endings at most; ids of one side go up by two, so this many streams in a row. */
const MOST_SLOTS = 256;
/** Most connections are idle, and have had a few calls: they begin with so many. */
const FIRST_SLOTS = 8;

export class ClosedStreams {
  /** By id / 2 modulo the slots: the id that ended last there. */
  #ids = new Int32Array(FIRST_SLOTS);
  #endings = new Uint8Array(FIRST_SLOTS);

  add(id: number, ending: number): void {
    let slot = this.#slotOf(id);
    for (let held = this.#ids[slot] ?? 0; held !== 0 && held !== id; held = this.#ids[slot] ?? 0) {
      if (this.#ids.length === MOST_SLOTS) {
        if (held > id) return;
        break;
      }
      this.#grow();
      slot = this.#slotOf(id);
    }
    this.#ids[slot] = id;
    this.#endings[slot] = ending;
  }

  /** Of a stream that is not idle and not open. */
  endingOf(id: number): number {
    const slot = this.#slotOf(id);
    const held = this.#ids[slot] ?? 0;
    if (held === id) return this.#endings[slot] ?? Ending.FORGOTTEN;
    // As long as there can be more slots, none has been given to another stream.
    const isFull = this.#ids.length === MOST_SLOTS;
    return isFull && held > id ? Ending.FORGOTTEN : Ending.NEVER_OPENED;
  }

  #slotOf(id: number): number {
    return (id >>> 1) & (this.#ids.length - 1);
  }

  /** Streams that had slots of their own have them in more slots too. */
  #grow(): void {
    const [ids, endings] = [this.#ids, this.#endings];
    this.#ids = new Int32Array(ids.length * 2);
    this.#endings = new Uint8Array(ids.length * 2);
    for (let at = 0; at < ids.length; at += 1) {
      const slot = this.#slotOf(ids[at] ?? 0);
      if (ids[at] === 0) continue;
      this.#ids[slot] = ids[at] ?? 0;
      this.#endings[slot] = endings[at] ?? Ending.FORGOTTEN;
    }
  }
}
