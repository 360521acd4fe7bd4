// The sequence parameters of a ModelInferRequest: requests of one sequence go to one copy of the
// model. Reads entries of map<string, InferParameter>, only so far as they are about sequences.
import { decodeText, malformed, WireReader, WireType } from '../wire.ts';

/** Longer sequence ids are refused with INVALID_ARGUMENT: a router keeps them. */
export const MAX_SEQUENCE_ID_BYTES = 1024;

export interface Sequence {
  /** A number in decimal, or a text in double quotes, so that 5 and "5" differ; '' is none. */
  readonly id: string;
  readonly isStart: boolean;
  readonly isEnd: boolean;
}

const NO_SEQUENCE: Sequence = { id: '', isStart: false, isEnd: false };

type Choice = boolean | bigint | string | undefined;

/** A map entry is a message of key and value. */
const KEY_TAG = (1 << 3) | WireType.BYTES;
const VALUE_TAG = (2 << 3) | WireType.BYTES;
/** InferParameter's choices. The last two are such as no sequence parameter takes. */
const BOOL_TAG = (1 << 3) | WireType.VARINT;
const INT64_TAG = (2 << 3) | WireType.VARINT;
const STRING_TAG = (3 << 3) | WireType.BYTES;
const DOUBLE_TAG = (4 << 3) | WireType.FIXED64;
const UINT64_TAG = (5 << 3) | WireType.VARINT;

type Key = 'sequence_id' | 'sequence_start' | 'sequence_end';

const encoder = new TextEncoder();
/** By length, which tells them apart. */
const KEYS: ReadonlyMap<number, { readonly key: Key; readonly bytes: Uint8Array }> = new Map(
  (['sequence_id', 'sequence_start', 'sequence_end'] as const).map((key) => [
    key.length,
    { key, bytes: encoder.encode(key) },
  ]),
);

/**
 * What is known of the sequence after one more map entry, bytes[start, end). An entry that comes
 * later replaces an earlier one with the same key. Values of a type that the parameter does not
 * take are as if absent: the node answers for them.
 * @throws INVALID_ARGUMENT when the entry of a sequence parameter is malformed
 */
export function readSequenceParameter(
  known: Sequence | undefined,
  bytes: Buffer,
  start: number,
  end: number,
): Sequence | undefined {
  const key = entryKey(bytes, start, end);
  if (key === undefined) return known;
  const value = entryValue(bytes, start, end);
  const before = known ?? NO_SEQUENCE;
  if (key === 'sequence_start') return { ...before, isStart: value === true };
  if (key === 'sequence_end') return { ...before, isEnd: value === true };
  return { ...before, id: idOf(value) };
}

function idOf(value: Choice): string {
  if (typeof value === 'bigint') return value === 0n ? '' : String(value);
  return typeof value === 'string' && value !== '' ? `"${value}"` : '';
}

/** Field 1 of the entry, if it is one of ours. */
function entryKey(bytes: Buffer, start: number, end: number): Key | undefined {
  let key: Key | undefined;
  const reader = new WireReader(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === KEY_TAG) {
      const length = reader.length();
      key = keyAt(bytes, reader.position, length);
      reader.position += length;
    } else reader.skip(tag);
  }
  return key;
}

function keyAt(bytes: Buffer, start: number, length: number): Key | undefined {
  const candidate = KEYS.get(length);
  if (candidate === undefined) return undefined;
  for (let at = 0; at < length; at++) {
    if (bytes[start + at] !== candidate.bytes[at]) return undefined;
  }
  return candidate.key;
}

/** Field 2 of the entry, an InferParameter; several are merged, so the last choice counts. */
function entryValue(bytes: Buffer, start: number, end: number): Choice {
  let value: Choice;
  const reader = new WireReader(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === VALUE_TAG) {
      const length = reader.length();
      value = parameterChoice(value, bytes, reader.position, reader.position + length);
      reader.position += length;
    } else reader.skip(tag);
  }
  return value;
}

/** The choice of an InferParameter, `before` when it makes none. */
function parameterChoice(before: Choice, bytes: Buffer, start: number, end: number): Choice {
  let value = before;
  const reader = new WireReader(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === BOOL_TAG) value = reader.uint64() !== 0n;
    else if (tag === INT64_TAG) value = BigInt.asIntN(64, reader.uint64());
    else if (tag === STRING_TAG) {
      const length = reader.length();
      if (length > MAX_SEQUENCE_ID_BYTES) {
        throw malformed(
          reader.position,
          `a sequence id has more than ${MAX_SEQUENCE_ID_BYTES} bytes`,
        );
      }
      value = decodeText(bytes, reader.position, reader.position + length);
      reader.position += length;
    } else {
      if (tag === DOUBLE_TAG || tag === UINT64_TAG) value = undefined;
      reader.skip(tag);
    }
  }
  return value;
}
