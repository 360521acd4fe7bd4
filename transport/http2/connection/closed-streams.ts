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

/** Remembered endings; ids of one side go up by two, so this many streams in a row. */
const SLOTS = 256;

export class ClosedStreams {
  /** By id / 2 modulo the slots: the id that ended last there. */
  readonly #ids = new Int32Array(SLOTS);
  readonly #endings = new Uint8Array(SLOTS);

  add(id: number, ending: number): void {
    const slot = (id >>> 1) & (SLOTS - 1);
    if ((this.#ids[slot] ?? 0) > id) return;
    this.#ids[slot] = id;
    this.#endings[slot] = ending;
  }

  /** Of a stream that is not idle and not open. */
  endingOf(id: number): number {
    const slot = (id >>> 1) & (SLOTS - 1);
    const held = this.#ids[slot] ?? 0;
    if (held === id) return this.#endings[slot] ?? Ending.FORGOTTEN;
    return held > id ? Ending.FORGOTTEN : Ending.NEVER_OPENED;
  }
}
