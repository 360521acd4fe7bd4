// The open streams of a connection, by id. No Map: one that is added to and deleted from all the
// time makes itself anew again and again, and each table that it leaves behind points to the next.
// Once one of them has grown old, all that follow, and the streams in them, outlive every quick
// garbage collection. Here a stream that has gone leaves nothing behind that points to others.
import type { Stream } from './stream.ts';

const LEAST_SLOTS = 8;
/** A table that is empty gives back more than this: 2 KiB. */
const MOST_IDLE_SLOTS = 256;

export class StreamTable {
  /** A power of two of chains; ids of one side go up by two. */
  #slots: (Stream | undefined)[] = new Array(LEAST_SLOTS).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    let stream = this.#slots[this.#slotOf(id)];
    while (stream !== undefined && stream.id !== id) stream = stream.nextInTable;
    return stream;
  }

  /** A stream whose id is not there yet. */
  add(stream: Stream): void {
    if (this.#size >= this.#slots.length) this.#resize(this.#slots.length * 2);
    this.#size += 1;
    this.#link(stream);
  }

  delete(id: number): void {
    const slot = this.#slotOf(id);
    let before: Stream | undefined;
    let stream = this.#slots[slot];
    while (stream !== undefined && stream.id !== id) {
      before = stream;
      stream = stream.nextInTable;
    }
    if (stream === undefined) return;
    if (before === undefined) this.#slots[slot] = stream.nextInTable;
    else before.nextInTable = stream.nextInTable;
    stream.nextInTable = undefined;
    this.#size -= 1;
    if (this.#size > 0 || this.#slots.length <= MOST_IDLE_SLOTS) return;
    this.#slots = new Array(LEAST_SLOTS).fill(undefined);
  }

  /** All of them, in the order of their ids: a copy, streams may go meanwhile. */
  values(): Stream[] {
    const streams: Stream[] = [];
    for (const first of this.#slots) {
      for (let stream = first; stream !== undefined; stream = stream.nextInTable) {
        streams.push(stream);
      }
    }
    return streams.sort((a, b) => a.id - b.id);
  }

  #slotOf(id: number): number {
    return ((id >>> 1) ^ (id & 1)) & (this.#slots.length - 1);
  }

  #link(stream: Stream): void {
    const slot = this.#slotOf(stream.id);
    stream.nextInTable = this.#slots[slot];
    this.#slots[slot] = stream;
  }

  #resize(slots: number): void {
    const before = this.#slots;
    this.#slots = new Array(slots).fill(undefined);
    for (let slot = 0; slot < before.length; slot += 1) {
      let stream = before[slot];
      while (stream !== undefined) {
        const next = stream.nextInTable;
        this.#link(stream);
        stream = next;
      }
    }
  }
}
