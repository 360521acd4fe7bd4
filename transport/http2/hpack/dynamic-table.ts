// The dynamic table of RFC 7541, 2.3.2 and 4: a ring of entries, the newest first, bounded by the
// bytes they cost. Its generation changes whenever an index may mean something else than before.
import type { HeaderField } from './header-field.ts';
import { fieldBytes } from './header-field.ts';

/** What both ends begin with (RFC 9113, 6.5.2, SETTINGS_HEADER_TABLE_SIZE). */
export const INITIAL_TABLE_BYTES = 4096;

const FIRST_SLOTS = 16;

export class DynamicTable {
  /** Length a power of two; grows as entries need it. Empty until the first entry. */
  #slots: (HeaderField | undefined)[] = [];
  #mask = 0;
  #insertedCount = 0;
  #count = 0;
  #sizeBytes = 0;
  #capacityBytes: number;
  #generation = 0;
  readonly #onEvict: ((field: HeaderField, id: number) => void) | undefined;

  /** @param onEvict hears of each entry that leaves, with its id. */
  constructor(
    capacityBytes: number = INITIAL_TABLE_BYTES,
    onEvict?: (field: HeaderField, id: number) => void,
  ) {
    this.#capacityBytes = capacityBytes;
    this.#onEvict = onEvict;
  }

  /** Entries in the table. */
  get count(): number {
    return this.#count;
  }

  /** Entries ever inserted: the id of the newest; ids are consecutive. */
  get insertedCount(): number {
    return this.#insertedCount;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get capacityBytes(): number {
    return this.#capacityBytes;
  }

  /** Equal generations: every index means what it meant. */
  get generation(): number {
    return this.#generation;
  }

  /** Entry `index`, 1 the newest; undefined beyond the oldest. */
  at(index: number): HeaderField | undefined {
    if (index > this.#count) return undefined;
    return this.#slots[(this.#insertedCount - index) & this.#mask];
  }

  /** Adds an entry, evicting from the oldest; one larger than the whole table empties it (4.4). */
  insert(field: HeaderField): void {
    const sizeBytes = fieldBytes(field);
    this.#generation += 1;
    this.#evictTo(this.#capacityBytes - sizeBytes);
    if (sizeBytes > this.#capacityBytes) return;
    if (this.#count >= this.#slots.length) this.#grow();
    this.#slots[this.#insertedCount & this.#mask] = field;
    this.#insertedCount += 1;
    this.#count += 1;
    this.#sizeBytes += sizeBytes;
  }

  /** What inserting an entry larger than the table does (4.4). */
  clear(): void {
    this.#generation += 1;
    this.#evictTo(0);
  }

  resize(capacityBytes: number): void {
    this.#generation += 1;
    this.#capacityBytes = capacityBytes;
    this.#evictTo(capacityBytes);
  }

  #evictTo(sizeBytes: number): void {
    while (this.#count > 0 && this.#sizeBytes > sizeBytes) {
      const slot = (this.#insertedCount - this.#count) & this.#mask;
      const oldest = this.#slots[slot];
      const id = this.#insertedCount - this.#count + 1;
      this.#slots[slot] = undefined;
      this.#count -= 1;
      if (oldest === undefined) continue;
      this.#sizeBytes -= fieldBytes(oldest);
      this.#onEvict?.(oldest, id);
    }
  }

  #grow(): void {
    const larger = new Array<HeaderField | undefined>(
      Math.max(FIRST_SLOTS, this.#slots.length * 2),
    ).fill(undefined);
    const mask = larger.length - 1;
    for (let id = this.#insertedCount - this.#count; id < this.#insertedCount; id += 1) {
      larger[id & mask] = this.#slots[id & this.#mask];
    }
    this.#slots = larger;
    this.#mask = mask;
  }
}
