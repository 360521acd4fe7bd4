// The JSON of an inference request, cut in two: the lists under "data", which may be millions of
// numbers, stay bytes; what is left is small and becomes objects. So memory is taken for tensors
// whose size was checked, never for whatever the text happens to hold.
import { invalidArgument, statusOf } from '../../common/status.ts';
import { parseExact } from '../exact-json.ts';
import { skipString, tooDeep } from '../json-depth.ts';
import { MAX_INFER_HEAD_BYTES, MAX_JSON_DEPTH } from '../limits.ts';
import type { Slices } from './slices.ts';

/** Bytes [start, end) of a list, brackets included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Head {
  /** The JSON, with a marker in the place of each list of data. */
  readonly json: unknown;
  readonly spans: readonly Span[];
}

const QUOTE = 0x22;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Text after which others get their turn. */
const SLICE_BYTES = 4 * 1024 * 1024;
/** Tensors stand at $.inputs[i]: in an object in a list in an object. */
const TENSOR_DEPTH = 3;
const MARKER = '\u0000data ';
const MARKER_JSON = '"\\u0000data ';

export function malformedJson(why: string): Error {
  return invalidArgument(`failed to parse the request JSON buffer: ${why}`);
}

/** JSON's four kinds of white space. */
export function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

export function skipSpace(bytes: Buffer, at: number, end: number): number {
  let next = at;
  while (next < end && isSpace(bytes[next])) next += 1;
  return next;
}

/** Where the list that opens at `start` has closed. @throws INVALID_ARGUMENT */
function* skipList(bytes: Buffer, start: number, end: number, outerDepth: number): Slices<number> {
  let depth = 0;
  let pauseAt = start + SLICE_BYTES;
  for (let at = start; at < end; ) {
    if (at >= pauseAt) {
      pauseAt = at + SLICE_BYTES;
      yield;
    }
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = skipString(bytes, at, end);
      continue;
    }
    at += 1;
    if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      depth += 1;
      if (outerDepth + depth > MAX_JSON_DEPTH) throw tooDeep();
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  throw malformedJson(`the list at byte ${start} is not closed`);
}

/**
 * If a key "data" begins at `at` and its value is a list, where that list begins; else undefined.
 */
function dataListAfter(bytes: Buffer, at: number, keyEnd: number, end: number): number | undefined {
  const key = bytes.toString('utf8', at, keyEnd);
  if (key !== '"data"') return undefined;
  const colon = skipSpace(bytes, keyEnd, end);
  if (bytes[colon] !== COLON) return undefined;
  const value = skipSpace(bytes, colon + 1, end);
  return bytes[value] === OPEN_LIST ? value : undefined;
}

/**
 * @param end of the JSON in `bytes`, which are UTF-8
 * @throws INVALID_ARGUMENT for what is no JSON, too deep, or too large beside its data
 */
export function* readHead(bytes: Buffer, end: number): Slices<Head> {
  const spans: Span[] = [];
  const parts: string[] = [];
  let keptBytes = 0;
  let from = 0;
  let depth = 0;
  const keep = (to: number): void => {
    keptBytes += to - from;
    if (keptBytes > MAX_INFER_HEAD_BYTES) throw headTooLarge();
    parts.push(bytes.toString('utf8', from, to));
  };
  for (let at = 0; at < end; ) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      const keyEnd = skipString(bytes, at, end);
      const list =
        depth === TENSOR_DEPTH && keyEnd - at === 6
          ? dataListAfter(bytes, at, keyEnd, end)
          : undefined;
      at = keyEnd;
      if (list === undefined) continue;
      keep(list);
      at = yield* skipList(bytes, list, end, depth);
      parts.push(`${MARKER_JSON}${spans.length}"`);
      spans.push({ start: list, end: at });
      from = at;
      continue;
    }
    if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      depth += 1;
      if (depth > MAX_JSON_DEPTH) throw tooDeep();
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth -= 1;
    at += 1;
  }
  keep(end);
  return { json: parsed(parts.join('')), spans };
}

function parsed(text: string): unknown {
  try {
    return parseExact(text);
  } catch (cause) {
    // The place that the parser tells is one in the text without its data: no help to anybody.
    const why = statusOf(cause).message.replace(/,? (in JSON )?at position \d+.*$/s, '');
    throw malformedJson(why.replaceAll(MARKER, '').slice(0, 200));
  }
}

function headTooLarge(): Error {
  return invalidArgument(
    `the request's JSON apart from its data is larger than ${MAX_INFER_HEAD_BYTES} bytes: ` +
      'tensors belong into inputs[].data',
  );
}

/** The list that stands at a tensor's "data"; undefined when something else does. */
export function spanOf(head: Head, value: unknown): Span | undefined {
  if (typeof value !== 'string' || !value.startsWith(MARKER)) return undefined;
  return head.spans[Number(value.slice(MARKER.length))];
}
