// A tensor's list of data, from JSON text to raw bytes. The list is parsed in runs of some thousand
// values, so that no object of its size is ever made; how many values it may have is known, and
// compared with the length of the text, before memory is taken.
import { invalidArgument, type StatusError, statusOf } from '../../common/status.ts';
import { elementSizeBytes } from '../../common/tensor.ts';
import { parseExact } from '../exact-json.ts';
import { skipString } from '../json-depth.ts';
import { type JsonDatatype, unfit, writerOf } from './elements.ts';
import { type Span, skipSpace } from './head.ts';
import { Nesting } from './nesting.ts';
import type { Slices } from './slices.ts';

/** Text parsed at a time; a longer run is cut at a comma. */
const RUN_BYTES = 32 * 1024;
/** Text after which others get their turn. */
const SLICE_BYTES = 1024 * 1024;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

export interface JsonTensor {
  readonly input: string;
  readonly datatype: JsonDatatype;
  readonly shape: readonly number[];
  /** Elements of the shape. */
  readonly count: number;
}

function shapeMismatch(input: string): StatusError {
  return invalidArgument(
    `Unable to parse 'data': Shape does not match true shape of 'data' field of input '${input}'`,
  );
}

/** An upper bound of the raw bytes that a list of this length can have. @throws INVALID_ARGUMENT */
function sizeBound({ datatype, count, input }: JsonTensor, textBytes: number): number {
  // Each value takes a character at least, and a comma or bracket.
  if (count > textBytes / 2) throw shapeMismatch(input);
  // A string's quotes and comma make up for all but one byte of its length field.
  return datatype === 'BYTES' ? textBytes + count + 4 : count * elementSizeBytes(datatype);
}

/**
 * The raw bytes of a list.
 * @throws INVALID_ARGUMENT: no JSON, a value that the datatype can't hold, another number of values
 * than the shape has, or lists nested in another way
 */
export function* readData(bytes: Buffer, span: Span, tensor: JsonTensor): Slices<Buffer> {
  const raw = Buffer.allocUnsafe(sizeBound(tensor, span.end - span.start));
  const write = writerOf(tensor.datatype);
  const nesting = new Nesting();
  let written = 0;
  let count = 0;
  let pauseAt = span.start + SLICE_BYTES;
  let isValueDue = true;
  let mayClose = false;
  for (let at = span.start; at < span.end; ) {
    at = skipSpace(bytes, at, span.end);
    if (at >= pauseAt) {
      pauseAt = at + SLICE_BYTES;
      yield;
    }
    const byte = bytes[at];
    if (byte === OPEN_LIST) {
      if (!isValueDue) throw malformedData(tensor, at - span.start);
      nesting.open();
      mayClose = true;
      at += 1;
    } else if (byte === CLOSE_LIST) {
      if (isValueDue && !mayClose) throw malformedData(tensor, at - span.start);
      nesting.close();
      isValueDue = false;
      at += 1;
    } else if (byte === COMMA) {
      if (isValueDue || nesting.depth === 0) throw malformedData(tensor, at - span.start);
      isValueDue = true;
      mayClose = false;
      at += 1;
    } else {
      if (!isValueDue) throw malformedData(tensor, at - span.start);
      const end = runEnd(bytes, at, span.end);
      const values = parseRun(bytes.toString('utf8', at, end), tensor);
      if (count + values.length > tensor.count) throw shapeMismatch(tensor.input);
      for (const value of values) {
        const next = write(value, raw, written);
        if (next === undefined) throw unfit(value, count, tensor.datatype, tensor.input);
        written = next;
        count += 1;
      }
      nesting.leaves(values.length);
      isValueDue = false;
      at = end;
    }
  }
  if (count !== tensor.count || !nesting.fits(tensor.shape, count)) {
    throw shapeMismatch(tensor.input);
  }
  return raw.subarray(0, written);
}

function malformedData({ input }: JsonTensor, at: number): StatusError {
  return invalidArgument(
    `Unable to parse 'data': the list of input '${input}' is no JSON at its byte ${at}`,
  );
}

/** Where the run of values at `start` ends: before a bracket, or a comma when it is long. */
function runEnd(bytes: Buffer, start: number, end: number): number {
  let braces = 0;
  for (let at = start; at < end; ) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = skipString(bytes, at, end);
      continue;
    }
    if (byte === OPEN_OBJECT) braces += 1;
    else if (byte === CLOSE_OBJECT) braces -= 1;
    else if (braces === 0) {
      if (byte === CLOSE_LIST || byte === OPEN_LIST) return at;
      if (byte === COMMA && at - start >= RUN_BYTES) return at;
    }
    at += 1;
  }
  return end;
}

function parseRun(text: string, { input }: JsonTensor): readonly unknown[] {
  try {
    return parseExact(`[${text}]`) as unknown[];
  } catch (cause) {
    const why = statusOf(cause).message.replace(/,? (in JSON )?at position \d+.*$/s, '');
    throw invalidArgument(
      `Unable to parse 'data': the list of input '${input}' is no JSON: ${why.slice(0, 120)}`,
    );
  }
}
