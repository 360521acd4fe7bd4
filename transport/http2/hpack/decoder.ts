// Header blocks into header lists (RFC 7541, 3 and 6): one decoder for each connection, fed every
// block in order. What is wrong with a block is an HpackError, which ends the connection; what is
// merely too much is a refusal in the list, and the connection goes on.
import { ANY_GENERATION, BlockCache, blockHash } from './block-cache.ts';
import { BlockPatterns, changedValues, mayVary, type VaryingValue } from './block-pattern.ts';
import { BlockReader } from './block-reader.ts';
import { DynamicTable, INITIAL_TABLE_BYTES } from './dynamic-table.ts';
import type { HeaderField } from './header-field.ts';
import { FIELD_OVERHEAD_BYTES, fieldBytes, headerField } from './header-field.ts';
import type { HeaderLimit, HeaderLimits, HeaderRefusal } from './header-list.ts';
import { DEFAULT_HEADER_LIMITS, HeaderList } from './header-list.ts';
import { HpackError } from './hpack-error.ts';
import { LiteralText } from './literal-text.ts';
import { STATIC_COUNT, STATIC_TABLE } from './static-table.ts';

/** Of this thread: it remembers only what the bytes of literals say, whoever sent them. */
const SHARED_TEXT = new LiteralText();

/** First bits of a field's representation (RFC 7541, 6). */
const INDEXED = 0x80;
const INCREMENTAL = 0x40;
const SIZE_UPDATE = 0x20;
const NEVER_INDEXED = 0x10;

/** Never added to. */
const NONE_VARYING: VaryingValue[] = [];

export class HpackDecoder {
  readonly #limits: HeaderLimits;
  readonly #table = new DynamicTable();
  readonly #cache = new BlockCache();
  readonly #patterns: BlockPatterns;
  readonly #reader: BlockReader;
  #maxTableBytes = INITIAL_TABLE_BYTES;
  /** The next block begins by shrinking the table to this or less; Infinity: need not. */
  #requiredTableBytes = Number.POSITIVE_INFINITY;

  // The block being decoded.
  #fields: HeaderField[] = [];
  #listBytes = 0;
  #refusal: HeaderRefusal | undefined;
  #namesDynamic = false;
  #varying: VaryingValue[] = NONE_VARYING;
  #hasVarying = false;
  /** The last list with a value that varies. */
  #latest: HeaderList | undefined;

  constructor(limits: HeaderLimits = DEFAULT_HEADER_LIMITS, text: LiteralText = SHARED_TEXT) {
    this.#limits = limits;
    this.#reader = new BlockReader(text);
    this.#patterns = new BlockPatterns(text, limits.maxStringBytes, limits.maxListBytes);
  }

  /** What the dynamic table holds, as RFC 7541, 4.1 counts. */
  get tableBytes(): number {
    return this.#table.sizeBytes;
  }

  /**
   * The peer has acknowledged our SETTINGS_HEADER_TABLE_SIZE of `maxBytes`: if its table was
   * larger, its next block says that it shrank (RFC 7541, 4.2; RFC 9113, 4.3.1).
   */
  setMaxTableBytes(maxBytes: number): void {
    this.#maxTableBytes = maxBytes;
    if (maxBytes < this.#table.capacityBytes) {
      this.#requiredTableBytes = Math.min(this.#requiredTableBytes, maxBytes);
    }
  }

  /**
   * A whole block, bytes[start, end); the bytes are not kept. A block seen before gives the list of
   * the time before, and allocates nothing.
   * @throws HpackError, after which the decoder must not be used.
   */
  decode(bytes: Uint8Array, start = 0, end: number = bytes.length): HeaderList {
    const generation = this.#table.generation;
    const isKnownGood = this.#requiredTableBytes === Number.POSITIVE_INFINITY;
    const latest = isKnownGood ? this.#cache.findLatest(bytes, start, end, generation) : undefined;
    if (latest !== undefined) return latest;
    const like = isKnownGood ? this.#patterns.find(bytes, start, end, generation) : undefined;
    if (like !== undefined) return like;
    const hash = blockHash(bytes, start, end);
    const known = isKnownGood ? this.#cache.find(hash, bytes, start, end, generation) : undefined;
    if (known !== undefined) return known;
    this.#reader.open(bytes, start, end);
    this.#sizeUpdates();
    while (!this.#reader.isAtEnd) this.#representation();
    this.#reader.close();
    const list = this.#listOf();
    if (generation === this.#table.generation && this.#refusal === undefined) {
      const holdsFor = this.#namesDynamic ? generation : ANY_GENERATION;
      this.#cache.offer(hash, bytes, start, end, holdsFor, list);
      this.#patterns.offer(bytes, start, end, this.#varying, holdsFor, list);
    }
    this.#fields = [];
    this.#hasVarying = false;
    this.#varying = NONE_VARYING;
    this.#listBytes = 0;
    this.#refusal = undefined;
    this.#namesDynamic = false;
    return list;
  }

  #sizeUpdates(): void {
    const reader = this.#reader;
    while (!reader.isAtEnd && (reader.peek() & 0xe0) === SIZE_UPDATE) {
      const capacityBytes = reader.integer(0x1f);
      if (capacityBytes > Math.min(this.#maxTableBytes, this.#requiredTableBytes)) {
        throw new HpackError(`table size update to ${capacityBytes} bytes is above the setting`);
      }
      this.#requiredTableBytes = Number.POSITIVE_INFINITY;
      this.#table.resize(capacityBytes);
    }
    if (this.#requiredTableBytes === Number.POSITIVE_INFINITY) return;
    throw new HpackError('header block does not begin with the table size update it owes');
  }

  #representation(): void {
    const reader = this.#reader;
    const first = reader.peek();
    if (first >= INDEXED) {
      this.#add(this.#entry(reader.integer(0x7f)));
    } else if (first >= INCREMENTAL) {
      this.#literal(reader.integer(0x3f), true, false);
    } else if (first >= SIZE_UPDATE) {
      throw new HpackError('table size update behind the first field of a block');
    } else {
      this.#literal(reader.integer(0x0f), false, first >= NEVER_INDEXED);
    }
  }

  #entry(index: number): HeaderField {
    const field = index <= STATIC_COUNT ? STATIC_TABLE[index - 1] : this.#dynamicEntry(index);
    if (field === undefined) throw new HpackError(`no header field has the index ${index}`);
    return field;
  }

  #dynamicEntry(index: number): HeaderField | undefined {
    this.#namesDynamic = true;
    return this.#table.at(index - STATIC_COUNT);
  }

  #literal(nameIndex: number, isIndexed: boolean, isSecret: boolean): void {
    const reader = this.#reader;
    // What the table would take must be read whatever the limit on strings.
    const maxBytes = Math.max(this.#limits.maxStringBytes, this.#table.capacityBytes);
    let name: string | undefined;
    let nameBytes: number;
    if (nameIndex === 0) {
      name = reader.literal(isSecret, maxBytes);
      nameBytes = reader.literalBytes;
    } else {
      name = this.#entry(nameIndex).name;
      nameBytes = name.length;
    }
    const start = reader.offset;
    const value = reader.literal(isSecret, maxBytes);
    if (name === undefined || value === undefined) {
      this.#count(FIELD_OVERHEAD_BYTES + nameBytes + reader.literalBytes);
      this.#refuse('maxStringBytes');
      if (isIndexed) this.#table.clear();
      return;
    }
    const field = headerField(name, value, isSecret);
    if (!isSecret && mayVary(name)) this.#noteVarying(start, isIndexed);
    this.#add(field);
    if (isIndexed) this.#table.insert(field);
  }

  /** Many peers index what they won't send again: then only the other fields stay the same. */
  #listOf(): HeaderList {
    const [fields, latest] = [this.#fields, this.#latest];
    if (this.#refusal !== undefined || !this.#hasVarying) {
      return new HeaderList(fields, this.#listBytes, this.#refusal);
    }
    const changed = latest === undefined ? undefined : changedValues(latest.fields, fields);
    const base = changed === undefined ? undefined : latest;
    const list = new HeaderList(fields, this.#listBytes, undefined, base, changed);
    if (base === undefined) this.#latest = list;
    return list;
  }

  /** The value that was just read may be another one the next time. */
  #noteVarying(start: number, isIndexed: boolean): void {
    this.#hasVarying = true;
    if (isIndexed) return;
    if (this.#varying === NONE_VARYING) this.#varying = [];
    this.#varying.push({ start, end: this.#reader.offset, fieldIndex: this.#fields.length });
  }

  #add(field: HeaderField): void {
    const sizeBytes = fieldBytes(field);
    // No string is longer than its field: one comparison is enough for almost all.
    if (sizeBytes > this.#limits.maxStringBytes) this.#checkStrings(field);
    if (this.#fields.length >= this.#limits.maxFields) this.#refuse('maxFields');
    this.#count(sizeBytes);
    if (this.#refusal === undefined) this.#fields.push(field);
  }

  #checkStrings({ name, value }: HeaderField): void {
    if (Math.max(name.length, value.length) <= this.#limits.maxStringBytes) return;
    this.#refuse('maxStringBytes');
  }

  #count(sizeBytes: number): void {
    this.#listBytes += sizeBytes;
    if (this.#listBytes <= this.#limits.maxListBytes) return;
    this.#refuse('maxListBytes');
    if (this.#listBytes <= this.#limits.maxWorkBytes) return;
    const text = `headers decode to more than ${this.#limits.maxWorkBytes} bytes`;
    throw new HpackError(text, 'ENHANCE_YOUR_CALM');
  }

  #refuse(limit: HeaderLimit): void {
    this.#refusal ??= { limit, maximum: this.#limits[limit] };
  }
}
