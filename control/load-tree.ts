// Finds the least loaded of many sites that has room and may be taken, without looking at all of
// them: a tree whose nodes tell the least load and the most room below. A search leaves out what
// has no room or is no better; a change walks up to the root.

export class LoadTree {
  /** The leaves begin here; the root is 1, the children of n are 2n and 2n + 1. */
  readonly #first: number;
  readonly #loads: Float64Array;
  readonly #rooms: Float64Array;
  readonly #count: number;

  /** Sites 0 to count - 1, without load or room until they are set. */
  constructor(count: number) {
    this.#count = count;
    this.#first = 2 ** Math.ceil(Math.log2(Math.max(1, count)));
    this.#loads = new Float64Array(2 * this.#first).fill(Number.POSITIVE_INFINITY);
    this.#rooms = new Float64Array(2 * this.#first).fill(Number.NEGATIVE_INFINITY);
  }

  /** @param room how much more it may bear, Infinity when there is no limit */
  set(site: number, load: number, room: number): void {
    const [loads, rooms] = [this.#loads, this.#rooms];
    let at = this.#first + site;
    loads[at] = load;
    rooms[at] = room;
    for (at >>= 1; at >= 1; at >>= 1) {
      loads[at] = Math.min(loads[2 * at] ?? 0, loads[2 * at + 1] ?? 0);
      rooms[at] = Math.max(rooms[2 * at] ?? 0, rooms[2 * at + 1] ?? 0);
    }
  }

  /**
   * The site with the least load below `below` that has `room` and is wanted; the first of equals;
   * -1: there is none.
   */
  least(below: number, room: number, isWanted: (site: number) => boolean): number {
    const [loads, rooms, first] = [this.#loads, this.#rooms, this.#first];
    let [best, bestLoad] = [-1, below];
    const search = (at: number): void => {
      if ((loads[at] ?? 0) >= bestLoad || (rooms[at] ?? 0) < room) return;
      if (at >= first) {
        if (at - first >= this.#count || !isWanted(at - first)) return;
        best = at - first;
        bestLoad = loads[at] ?? 0;
        return;
      }
      const isRightLighter = (loads[2 * at + 1] ?? 0) < (loads[2 * at] ?? 0);
      search(isRightLighter ? 2 * at + 1 : 2 * at);
      search(isRightLighter ? 2 * at : 2 * at + 1);
    };
    search(1);
    return best;
  }
}
