// Header blocks that are one seen before but for values that differ from call to call: a deadline,
// a trace. All but those values is recognised by its bytes, and only they are decoded. What holds
// for blocks seen before (block-cache.ts) holds here: these change no table, and depend on its
// generation only where they name its entries.
import { ANY_GENERATION } from './block-cache.ts';
import { byteHash } from './byte-hash.ts';
import { type HeaderField, headerField } from './header-field.ts';
import { HeaderList } from './header-list.ts';
import type { LiteralText } from './literal-text.ts';

/** Names whose values are expected to differ from call to call. */
const VARYING_NAMES = new Set([
  'grpc-timeout',
  'grpc-trace-bin',
  'traceparent',
  'tracestate',
  'x-request-id',
]);
/** Values that vary in one block, and patterns of a connection: more are decoded each time. */
const MAX_VALUES = 4;
const MAX_PATTERNS = 8;
/** Longer blocks and lists are decoded each time: this bounds what a connection makes us keep. */
const MAX_BLOCK_BYTES = 512;
const MAX_LIST_BYTES = 4096;

/** Whether a literal of that name that is not indexed is looked for. */
export function mayVary(name: string): boolean {
  return VARYING_NAMES.has(name);
}

/**
 * The indexes of the fields that differ; most are the same objects, as entries of a table are.
 * Undefined: the lists differ in more than values that may vary.
 */
export function changedValues(
  before: readonly HeaderField[],
  now: readonly HeaderField[],
): number[] | undefined {
  if (before.length !== now.length) return undefined;
  const changed: number[] = [];
  for (let index = 0; index < now.length; index += 1) {
    const [old, field] = [before[index], now[index]];
    if (old === field) continue;
    if (old === undefined || field === undefined) return undefined;
    if (old.name !== field.name || old.isSecret !== field.isSecret) return undefined;
    if (old.value === field.value) continue;
    if (!mayVary(field.name)) return undefined;
    if (changed.push(index) > MAX_VALUES) return undefined;
  }
  return changed;
}

/** Where the string literal of a value stands in its block, and which field it is of. */
export interface VaryingValue {
  readonly start: number;
  readonly end: number;
  readonly fieldIndex: number;
}

interface Pattern {
  readonly block: Uint8Array;
  readonly values: readonly VaryingValue[];
  readonly changed: readonly number[];
  readonly generation: number;
  readonly list: HeaderList;
}

export class BlockPatterns {
  readonly #text: LiteralText;
  readonly #maxStringBytes: number;
  readonly #maxListBytes: number;
  #patterns: Pattern[] | undefined;
  /** Of the block that was offered last: a pattern is kept when it comes again. */
  #offered = 0;
  #next = 0;

  constructor(text: LiteralText, maxStringBytes: number, maxListBytes: number) {
    this.#text = text;
    this.#maxStringBytes = maxStringBytes;
    this.#maxListBytes = maxListBytes;
  }

  /** @throws HpackError for a value that is no Huffman code. */
  find(bytes: Uint8Array, start: number, end: number, generation: number): HeaderList | undefined {
    const patterns = this.#patterns;
    if (patterns === undefined) return undefined;
    for (const pattern of patterns) {
      if (pattern.generation !== generation && pattern.generation !== ANY_GENERATION) continue;
      const list = this.#match(pattern, bytes, start, end);
      if (list !== undefined) return list;
    }
    return undefined;
  }

  /** Takes note of a block that was not found and did not change the table. */
  offer(
    bytes: Uint8Array,
    start: number,
    end: number,
    values: readonly VaryingValue[],
    generation: number,
    list: HeaderList,
  ): void {
    const [first] = values;
    if (first === undefined || values.length > MAX_VALUES) return;
    if (end - start > MAX_BLOCK_BYTES || list.listBytes > MAX_LIST_BYTES) return;
    const hash = byteHash(bytes, start, start + first.start);
    if (hash !== this.#offered) {
      this.#offered = hash;
      return;
    }
    const block = Uint8Array.prototype.slice.call(bytes, start, end);
    const changed = values.map(({ fieldIndex }) => fieldIndex);
    this.#patterns ??= [];
    this.#patterns[this.#next] = { block, values, changed, generation, list };
    this.#next = (this.#next + 1) % MAX_PATTERNS;
  }

  #match(pattern: Pattern, bytes: Uint8Array, start: number, end: number): HeaderList | undefined {
    const { block, values, changed, list } = pattern;
    let fields: HeaderField[] | undefined;
    let listBytes = list.listBytes;
    let at = start;
    let from = 0;
    for (const value of values) {
      if (!isSame(block, from, value.start, bytes, at, end)) return undefined;
      at += value.start - from;
      from = value.end;
      const isHuffman = (bytes[at] ?? 0) >= 0x80;
      const length = (bytes[at] ?? 0) & 0x7f;
      at += 1;
      // Longer ones are written in several bytes.
      if (length === 0x7f || at + length > end) return undefined;
      const text = this.#text.decode(
        bytes,
        at,
        at + length,
        isHuffman,
        false,
        this.#maxStringBytes,
      );
      const old = list.fields[value.fieldIndex];
      if (text === undefined || old === undefined) return undefined;
      at += length;
      listBytes += text.length - old.value.length;
      fields ??= list.fields.slice();
      fields[value.fieldIndex] = headerField(old.name, text);
    }
    if (fields === undefined || listBytes > this.#maxListBytes) return undefined;
    if (!isSame(block, from, block.length, bytes, at, end)) return undefined;
    if (at + block.length - from !== end) return undefined;
    return new HeaderList(fields, listBytes, undefined, list, changed);
  }
}

/** Whether block[from, to) stands at bytes[at, ...). */
function isSame(
  block: Uint8Array,
  from: number,
  to: number,
  bytes: Uint8Array,
  at: number,
  end: number,
): boolean {
  if (at + to - from > end) return false;
  const shift = at - from;
  for (let index = from; index < to; index += 1) {
    if (block[index] !== bytes[index + shift]) return false;
  }
  return true;
}
