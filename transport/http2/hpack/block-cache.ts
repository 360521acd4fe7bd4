// Header blocks seen before, found again by their bytes: clients send the same few blocks call
// after call. What a block means depends on the dynamic table only through the entries that it
// names, so what is remembered holds for any table when the block names none, else for the table's
// generation at the time. Blocks that change the table are never here: they must be decoded each
// time.
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

/** FNV-1a over the block, or the same over its length when that is over the limit. */
export function blockHash(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length > MAX_BLOCK_BYTES) return length;
  let hash = 0x811c9dc5 ^ length;
  for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return hash;
}

function isSame(block: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (block.length !== end - start) return false;
  for (let at = 0; at < block.length; at += 1) {
    if (block[at] !== bytes[start + at]) return false;
  }
  return true;
}

export class BlockCache {
  /** Undefined until a block came twice: a connection of one call costs nothing here. */
  #slots: (Remembered | undefined)[] | undefined;
  /** Hash of the block last missed at each slot: one is remembered when it comes again. */
  #missed: Int32Array | undefined;

  /** `hash` is blockHash of the same bytes, `generation` the table's now. */
  find(
    hash: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    generation: number,
  ): HeaderList | undefined {
    const found = this.#slots?.[(hash ^ (hash >>> 16)) & (SLOTS - 1)];
    if (found === undefined) return undefined;
    if (found.generation !== generation && found.generation !== ANY_GENERATION) return undefined;
    return isSame(found.block, bytes, start, end) ? found.list : undefined;
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
    const slot = (hash ^ (hash >>> 16)) & (SLOTS - 1);
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
