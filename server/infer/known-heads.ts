// Requests whose bytes before the data were seen before. Clients send the same names, datatypes and
// shapes again and again; only the id and the data differ. A request that was decoded and checked
// whole leaves its head here, and the next one with the same bytes needs no decoding: its tensors
// lie where they lay, and every check but those of the data has the same result.
//
// Only what is regular is known: plain fields before the data, one id at most, raw data for each
// input and nothing behind them, datatypes of fixed size. Anything else is decoded as ever.
import type { Tensor } from '../../common/tensor.ts';
import { type AnswerTemplate, answerTemplate } from './answer-template.ts';
import type { CheckedRequest } from './check.ts';
import type { ServedSignature } from './signature.ts';

/** A longer head is not kept; with the two limits below it bounds what is kept, at 4 MiB. */
export const MAX_HEAD_BYTES = 1024;
const BUCKETS = 256;
/** Heads that begin alike (other shapes of one model); the one used longest ago goes first. */
const MAX_HEADS_IN_BUCKET = 16;
/** So many bytes of the first field choose the bucket. */
const HASHED_BYTES = 24;
/** An id of more bytes is left to the decoder. */
const MAX_ID_BYTES = 127;

const ID_TAG = 0x1a;
const ID_HEAD_BYTES = 2;
const RAW_TAG = 0x3a;
const NOTHING = new Uint8Array(0);
/** Name, version, parameters, inputs, outputs: all of them length-delimited. */
const HEAD_TAGS: ReadonlySet<number> = new Set([0x0a, 0x12, 0x22, 0x2a, 0x32]);

/** What a request asks for, apart from its data and its id. */
export interface Asked<Served> {
  readonly served: Served;
  /** Of a known head, without the data of its inputs. */
  readonly checked: CheckedRequest;
  /** Of the inputs. */
  readonly sizeBytes: number;
  /** Undefined: the answer's shape is not known before the run. */
  readonly answer: AnswerTemplate | undefined;
}

interface KnownHead<Served> extends Asked<Served> {
  /** Bytes before the id, or all where there is none. */
  readonly before: Uint8Array;
  readonly hasId: boolean;
  readonly after: Uint8Array;
  /** For each of the request's data: tag, length, and the size that follows. */
  readonly data: readonly { readonly head: Uint8Array; readonly sizeBytes: number }[];
}

export class KnownHeads<Served extends { readonly signature: ServedSignature }> {
  readonly #buckets: (KnownHead<Served>[] | undefined)[] = new Array(BUCKETS).fill(undefined);
  #last: KnownHead<Served> | undefined;
  #generation = -1;
  /** Of the request found last: where its id is, tag and length included; and its data. */
  #idStart = 0;
  #idEnd = 0;
  readonly #starts: number[] = [];
  readonly #sizes: number[] = [];

  /** @param generation of the model table now: with another one nothing is known any more */
  find(bytes: Uint8Array, generation: number): Asked<Served> | undefined {
    if (generation !== this.#generation) this.#forget(generation);
    const last = this.#last;
    if (last !== undefined && this.#fits(last, bytes)) return last;
    const bucket = this.#buckets[bucketOf(bytes)];
    if (bucket === undefined) return undefined;
    for (let at = 0; at < bucket.length; at += 1) {
      const head = bucket[at];
      if (head === undefined || !this.#fits(head, bytes)) continue;
      bucket.copyWithin(1, 0, at);
      bucket[0] = head;
      this.#last = head;
      return head;
    }
    return undefined;
  }

  #forget(generation: number): void {
    this.#buckets.fill(undefined);
    this.#last = undefined;
    this.#generation = generation;
  }

  /** The inputs of the request found last; views. */
  inputs({ checked }: Asked<Served>, bytes: Uint8Array): readonly Tensor[] {
    const { buffer, byteOffset } = bytes;
    const { places } = checked;
    const inputs = new Array<Tensor>(places.length);
    for (let i = 0; i < places.length; i += 1) {
      const place = places[i] ?? 0;
      const input = checked.inputs[i];
      if (input === undefined) continue;
      const { name, datatype, shape } = input;
      const start = byteOffset + (this.#starts[place] ?? 0);
      const view = new Uint8Array(buffer, start, this.#sizes[place] ?? 0);
      inputs[i] = { name, datatype, shape, bytes: view };
    }
    return inputs;
  }

  /** Of the request found last: UTF-8, a view; empty where it has none. */
  id(bytes: Uint8Array): Uint8Array {
    if (this.#idEnd === 0) return NOTHING;
    return bytes.subarray(this.#idStart + ID_HEAD_BYTES, this.#idEnd);
  }

  /** A request that `find` did not know, decoded and checked: what is regular is kept. */
  learn(bytes: Uint8Array, checked: CheckedRequest, served: Served): Asked<Served> {
    let sizeBytes = 0;
    for (const input of checked.inputs) sizeBytes += input.bytes.length;
    const outline = outlineOf(bytes);
    const isFixed = checked.inputs.every(({ datatype }) => datatype !== 'BYTES');
    if (!isFixed || outline === undefined) return { served, checked, sizeBytes, answer: undefined };
    const { idStart, idEnd, dataStart } = outline;
    const hasId = idEnd > 0;
    const data: KnownHead<Served>['data'][number][] = [];
    for (const [index, place] of checked.places.entries()) {
      const inputBytes = checked.inputs[index]?.bytes.length ?? 0;
      const head = Uint8Array.from([RAW_TAG, ...varint(inputBytes)]);
      data[place] = { head, sizeBytes: inputBytes };
    }
    const head: KnownHead<Served> = {
      served,
      checked: { ...checked, inputs: checked.inputs.map((one) => ({ ...one, bytes: NOTHING })) },
      sizeBytes,
      answer: answerTemplate(served.signature, checked),
      before: bytes.slice(0, hasId ? idStart : dataStart),
      hasId,
      after: hasId ? bytes.slice(idEnd, dataStart) : NOTHING,
      data,
    };
    if (this.#fits(head, bytes)) {
      const at = bucketOf(bytes);
      this.#buckets[at] = [head, ...(this.#buckets[at] ?? []).slice(0, MAX_HEADS_IN_BUCKET - 1)];
    }
    return head;
  }

  #fits(head: KnownHead<Served>, bytes: Uint8Array): boolean {
    const { before, after, data } = head;
    let at = matched(before, bytes, 0);
    if (at < 0) return false;
    if (head.hasId) {
      this.#idStart = at;
      at = idEndOf(bytes, at);
      if (at < 0) return false;
      this.#idEnd = at;
      at = matched(after, bytes, at);
      if (at < 0) return false;
    } else this.#idStart = this.#idEnd = 0;
    for (let i = 0; i < data.length; i += 1) {
      const next = data[i];
      if (next === undefined) return false;
      at = matched(next.head, bytes, at);
      if (at < 0) return false;
      this.#starts[i] = at;
      this.#sizes[i] = next.sizeBytes;
      at += next.sizeBytes;
    }
    return at === bytes.length;
  }
}

/** Where `bytes` go on behind `expected`; -1 where they are others. */
function matched(expected: Uint8Array, bytes: Uint8Array, start: number): number {
  const length = expected.length;
  if (start + length > bytes.length) return -1;
  for (let i = 0; i < length; i += 1) {
    if (bytes[start + i] !== expected[i]) return -1;
  }
  return start + length;
}

/** The end of an id field of ASCII text that begins at `start`; -1: it is something else. */
function idEndOf(bytes: Uint8Array, start: number): number {
  const length = bytes[start + 1] ?? 0xff;
  const end = start + 2 + length;
  if (bytes[start] !== ID_TAG || length > MAX_ID_BYTES || end > bytes.length) return -1;
  for (let i = start + 2; i < end; i += 1) {
    if ((bytes[i] ?? 0xff) > 0x7f) return -1;
  }
  return end;
}

/** By the first field, which clients make the model's name; what follows may be an id. */
function bucketOf(bytes: Uint8Array): number {
  const length = Math.min(HASHED_BYTES, bytes.length, (bytes[1] ?? 0) + 2);
  let hash = 0;
  for (let i = 0; i < length; i += 1) hash = Math.imul(hash ^ (bytes[i] ?? 0), 16_777_619);
  return (hash ^ (hash >>> 16)) & (BUCKETS - 1);
}

interface Outline {
  readonly idStart: number;
  /** 0: no id. */
  readonly idEnd: number;
  readonly dataStart: number;
}

/** Undefined: not regular. The bytes are a message that was decoded. */
function outlineOf(bytes: Uint8Array): Outline | undefined {
  let idStart = 0;
  let idEnd = 0;
  let at = 0;
  while (at < bytes.length && at <= MAX_HEAD_BYTES) {
    const tag = bytes[at] ?? 0;
    if (tag === RAW_TAG) return { idStart, idEnd, dataStart: at };
    if (tag === ID_TAG) {
      if (idEnd > 0) return undefined;
      idStart = at;
      idEnd = idEndOf(bytes, at);
      if (idEnd < 0) return undefined;
      at = idEnd;
    } else if (HEAD_TAGS.has(tag)) at = fieldEnd(bytes, at);
    else return undefined;
  }
  return undefined;
}

/** The end of a length-delimited field. */
function fieldEnd(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  let length = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[at++] ?? 0;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return at + length;
  }
  return Number.POSITIVE_INFINITY;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return [...bytes, rest];
}
