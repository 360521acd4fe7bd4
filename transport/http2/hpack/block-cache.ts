// Header blocks seen before, found again by their bytes: clients send the same few blocks call
// after call. What a block means depends on the dynamic table only through the entries that it
// names, so what is remembered holds for any table when the block names none, else for the table's
// generation at the time. Blocks that change the table are never here: they must be decoded each
// time.
import { byteHash } from './byte-hash.ts';
import type { HeaderList } from './header-list.ts';

/** Blocks remembered per connection, a power of two; others that share a slot displace them. */
const SLOTS = 16;
/** Longer blocks are decoded each time. */
const MAX_BLOCK_BYTES = 512;
/** Lists that hold more are decoded each time: this bounds what a connection can make us keep. */
const MAX_LIST_BYTES = 4096;

/** The generation of a block that names no dynamic entry. */
export const ANY_GENERATION = -1;

interface Remembered {
  readonly block: Uint8Array;
  readonly generation: number;
  readonly list: HeaderList;
}

/** What `find` and `offer` take; a block too long to be remembered has none of its own. */
export function blockHash(bytes: Uint8Array, start: number, end: number): number {
  return end - start > MAX_BLOCK_BYTES ? 0 : byteHash(bytes, start, end);
}

function isSame(block: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (block.length !== end - start) return false;
  for (let at = 0; at < block.length; at += 1) {
    if (block[at] !== bytes[start + at]) return false;
  }
  return true;
}

function isIt(
  known: Remembered,
  bytes: Uint8Array,
  start: number,
  end: number,
  generation: number,
): boolean {
  if (known.generation !== generation && known.generation !== ANY_GENERATION) return false;
  return isSame(known.block, bytes, start, end);
}

export class BlockCache {
  /** The two found last, in turn the head and the end of answers: most often no hash is needed. */
  #latest: Remembered | undefined;
  #earlier: Remembered | undefined;
  /** Undefined until a block came twice: a connection of one call costs nothing here. */
  #slots: (Remembered | undefined)[] | undefined;
  /** Hash of the block last missed at each slot: one is remembered when it comes again. */
  #missed: Int32Array | undefined;

  /** As `find`, but only looks whether it is one of the two blocks found last. */
  findLatest(
    bytes: Uint8Array,
    start: number,
    end: number,
    generation: number,
  ): HeaderList | undefined {
    const latest = this.#latest;
    if (latest === undefined) return undefined;
    if (isIt(latest, bytes, start, end, generation)) return latest.list;
    const earlier = this.#earlier;
    if (earlier === undefined || !isIt(earlier, bytes, start, end, generation)) return undefined;
    this.#earlier = latest;
    this.#latest = earlier;
    return earlier.list;
  }

  /** `hash` is blockHash of the same bytes, `generation` the table's now. */
  find(
    hash: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    generation: number,
  ): HeaderList | undefined {
    const found = this.#slots?.[hash & (SLOTS - 1)];
    if (found === undefined || !isIt(found, bytes, start, end, generation)) return undefined;
    this.#earlier = this.#latest;
    this.#latest = found;
    return found.list;
  }

  /**
   * Takes note of a block that was not found and did not change the table. `generation`: the
   * table's, or ANY_GENERATION.
   */
  offer(
    hash: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    generation: number,
    list: HeaderList,
  ): void {
    if (end - start > MAX_BLOCK_BYTES || list.listBytes > MAX_LIST_BYTES) return;
    const slot = hash & (SLOTS - 1);
    this.#missed ??= new Int32Array(SLOTS);
    if (this.#missed[slot] !== hash) {
      this.#missed[slot] = hash;
      return;
    }
    this.#slots ??= new Array<Remembered | undefined>(SLOTS).fill(undefined);
    const block = Uint8Array.prototype.slice.call(bytes, start, end);
    this.#slots[slot] = { block, generation, list };
  }
}
