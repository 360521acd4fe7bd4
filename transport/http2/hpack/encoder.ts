// Header lists into header blocks (RFC 7541, 3 and 6): one encoder for each connection, whose
// blocks are sent in the order they were made. Writes into memory that the caller gives.
import { DynamicTable, INITIAL_TABLE_BYTES } from './dynamic-table.ts';
import { mostFieldBytes, writeIndexed, writeLiteral, writeSizeUpdate } from './field-writer.ts';
import type { HeaderField } from './header-field.ts';
import { fieldBytes } from './header-field.ts';
import { IndexingPolicy } from './indexing-policy.ts';
import { MAX_INTEGER_BYTES } from './integer.ts';
import { STATIC_COUNT, STATIC_NAMES } from './static-table.ts';

/** A field larger than this part of the table is not worth what it would push out. */
const MAX_ENTRY_SHARE = 0.5;

/** At the start of a block at most two: the smallest size there was, and the one that is. */
const MOST_UPDATE_BYTES = 2 * MAX_INTEGER_BYTES;

/** Lists whose blocks encodeConstant remembers; one more takes the place of the oldest. */
const KEPT_LISTS = 16;
/** Lists that came of late and are not remembered: those that come again will be. */
const SEEN_LISTS = 8;
/** Longer blocks are encoded each time: this bounds what a connection keeps. */
const MAX_KEPT_BYTES = 512;

/** The block of a list, right while the table's generation is this. */
interface KeptBlock {
  readonly fields: readonly HeaderField[];
  readonly generation: number;
  readonly block: Uint8Array;
}

/** An entry of the table, and the next older one of the same name. */
interface Link {
  readonly id: number;
  readonly field: HeaderField;
  older: Link | undefined;
}

/** Bytes that a block of these fields takes at most, in any state of any encoder. */
export function mostBlockBytes(fields: readonly HeaderField[]): number {
  let bytes = MOST_UPDATE_BYTES;
  for (const field of fields) bytes += mostFieldBytes(field);
  return bytes;
}

export class HpackEncoder {
  readonly #policy: IndexingPolicy;
  readonly #ownMaxBytes: number;
  readonly #table = new DynamicTable(INITIAL_TABLE_BYTES, (field, id) => this.#forget(field, id));
  /** The newest entry of each name in the table. */
  readonly #newest = new Map<string, Link>();
  readonly #kept: KeptBlock[] = [];
  #nextKept = 0;
  readonly #seen: (readonly HeaderField[])[] = [];
  #nextSeen = 0;
  /** Smallest capacity since the last block, when the peer must hear of a change. */
  #smallestBytes: number | undefined;

  /** @param ownMaxBytes the table never grows beyond it, whatever the peer allows. */
  constructor(
    policy: IndexingPolicy = IndexingPolicy.DEFAULT,
    ownMaxBytes: number = INITIAL_TABLE_BYTES,
  ) {
    this.#policy = policy;
    this.#ownMaxBytes = ownMaxBytes;
    if (ownMaxBytes < INITIAL_TABLE_BYTES) this.setPeerMaxTableBytes(INITIAL_TABLE_BYTES);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE; told back at the start of the next block (4.2). */
  setPeerMaxTableBytes(peerMaxBytes: number): void {
    const capacityBytes = Math.min(peerMaxBytes, this.#ownMaxBytes);
    if (capacityBytes === this.#table.capacityBytes) return;
    this.#smallestBytes = Math.min(this.#smallestBytes ?? capacityBytes, capacityBytes);
    this.#table.resize(capacityBytes);
  }

  /**
   * Writes the block of `fields` at `at` and returns the offset behind it. `target` has room for
   * mostBlockBytes(fields).
   * @throws RangeError when a field holds a character above 255. Nothing of the block may be sent
   * then; the encoder remains good.
   */
  encode(fields: readonly HeaderField[], target: Uint8Array, at = 0): number {
    try {
      let next = this.#writeUpdates(target, at);
      for (const field of fields) next = this.#write(field, target, next);
      return next;
    } catch (thrown) {
      this.#startAfresh();
      throw thrown;
    }
  }

  /**
   * As `encode`, for a list that never changes: when it comes as the same object again, its bytes
   * are only copied from about the third time on. What differs from call to call goes into an
   * `encode` right behind it, which continues the block. `target` has room for mostBytes(fields).
   */
  encodeConstant(fields: readonly HeaderField[], target: Uint8Array, at = 0): number {
    const known = this.#known(fields);
    if (known !== undefined) return this.encodePrebuilt(known.block, target, at);
    const { generation } = this.#table;
    const start = this.#writeUpdates(target, at);
    const end = this.encode(fields, target, start);
    if (end - start > MAX_KEPT_BYTES || !this.#wasSeen(fields)) return end;
    // A block that changed the table would change it again.
    if (generation === this.#table.generation) {
      // A Buffer's own slice() is a view, and the target is written again.
      const block = Uint8Array.prototype.slice.call(target, start, end);
      this.#keep({ fields, generation, block });
    }
    return end;
  }

  /** Bytes that encodeConstant() of these fields writes now, at most. */
  mostBytes(fields: readonly HeaderField[]): number {
    const known = this.#known(fields);
    return known === undefined ? mostBlockBytes(fields) : known.block.length + MOST_UPDATE_BYTES;
  }

  #known(fields: readonly HeaderField[]): KeptBlock | undefined {
    const { generation } = this.#table;
    for (const kept of this.#kept) {
      if (kept.fields === fields && kept.generation === generation) return kept;
    }
    return undefined;
  }

  #wasSeen(fields: readonly HeaderField[]): boolean {
    if (this.#seen.includes(fields)) return true;
    this.#seen[this.#nextSeen] = fields;
    this.#nextSeen = (this.#nextSeen + 1) % SEEN_LISTS;
    return false;
  }

  #keep(block: KeptBlock): void {
    const stale = this.#kept.findIndex(({ fields }) => fields === block.fields);
    if (stale !== -1) {
      this.#kept[stale] = block;
      return;
    }
    this.#kept[this.#nextKept] = block;
    this.#nextKept = (this.#nextKept + 1) % KEPT_LISTS;
  }

  /** The peer never sees what was just inserted: the next block empties its table as well. */
  #startAfresh(): void {
    const capacityBytes = this.#table.capacityBytes;
    this.#table.resize(0);
    this.#table.resize(capacityBytes);
    this.#smallestBytes = 0;
  }

  /**
   * Writes a block that prebuiltBlock made. `target` has room for it and MAX_INTEGER_BYTES * 2.
   */
  encodePrebuilt(block: Uint8Array, target: Uint8Array, at = 0): number {
    const next = this.#smallestBytes === undefined ? at : this.#writeUpdates(target, at);
    for (let index = 0; index < block.length; index += 1) target[next + index] = block[index] ?? 0;
    return next + block.length;
  }

  #writeUpdates(target: Uint8Array, at: number): number {
    if (this.#smallestBytes === undefined) return at;
    let next = at;
    const capacityBytes = this.#table.capacityBytes;
    if (this.#smallestBytes < capacityBytes) {
      next = writeSizeUpdate(target, next, this.#smallestBytes);
    }
    this.#smallestBytes = undefined;
    return writeSizeUpdate(target, next, capacityBytes);
  }

  #write(field: HeaderField, target: Uint8Array, at: number): number {
    const indexing = this.#policy.indexingOf(field);
    const known = STATIC_NAMES.get(field.name);
    if (indexing === 'never') {
      return writeLiteral(target, at, field, known?.index ?? 0, indexing);
    }
    const staticIndex = known?.indexByValue.get(field.value);
    if (staticIndex !== undefined) return writeIndexed(target, at, staticIndex);
    const newest = this.#newest.get(field.name);
    const same = newest === undefined ? undefined : this.#find(newest, field.value);
    if (same !== undefined) return writeIndexed(target, at, this.#indexOf(same));
    const nameIndex = known?.index ?? (newest === undefined ? 0 : this.#indexOf(newest));
    const maxEntryBytes = this.#table.capacityBytes * MAX_ENTRY_SHARE;
    // The first of its name goes in all the same: those after it can name it in a byte.
    const isNamed = indexing === 'without' && nameIndex !== 0;
    if (isNamed || fieldBytes(field) > maxEntryBytes) {
      return writeLiteral(target, at, field, nameIndex, 'without');
    }
    const next = writeLiteral(target, at, field, nameIndex, 'incremental');
    this.#insert(field);
    return next;
  }

  #insert(field: HeaderField): void {
    this.#table.insert(field);
    const older = this.#newest.get(field.name);
    this.#newest.set(field.name, { id: this.#table.insertedCount, field, older });
  }

  #indexOf(link: Link): number {
    return STATIC_COUNT + 1 + this.#table.insertedCount - link.id;
  }

  /** Looks from new to old; cuts off those that were evicted. */
  #find(newest: Link, value: string): Link | undefined {
    const oldestId = this.#table.insertedCount - this.#table.count + 1;
    let link: Link | undefined = newest;
    while (link !== undefined) {
      if (link.field.value === value) return link;
      if (link.older !== undefined && link.older.id < oldestId) link.older = undefined;
      link = link.older;
    }
    return undefined;
  }

  #forget(field: HeaderField, id: number): void {
    if (this.#newest.get(field.name)?.id === id) this.#newest.delete(field.name);
  }
}

/**
 * A block of fields that never change, for encodePrebuilt: it uses the static table and literals
 * without indexing only, so that it is right in every state of every connection.
 */
export function prebuiltBlock(
  fields: readonly HeaderField[],
  policy: IndexingPolicy = IndexingPolicy.DEFAULT,
): Uint8Array {
  const target = new Uint8Array(mostBlockBytes(fields));
  let end = 0;
  for (const field of fields) {
    const known = STATIC_NAMES.get(field.name);
    const isSecret = policy.indexingOf(field) === 'never';
    const index = isSecret ? undefined : known?.indexByValue.get(field.value);
    end =
      index === undefined
        ? writeLiteral(target, end, field, known?.index ?? 0, isSecret ? 'never' : 'without')
        : writeIndexed(target, end, index);
  }
  return target.slice(0, end);
}
