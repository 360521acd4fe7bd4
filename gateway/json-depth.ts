// How deep JSON is nested, told from its bytes before anything is made of it.
import { invalidArgument } from '../common/status.ts';
import { MAX_JSON_DEPTH } from './limits.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

export function tooDeep(): Error {
  return invalidArgument(`JSON nesting depth exceeds maximum allowed limit (${MAX_JSON_DEPTH})`);
}

/** The place after the string that begins at `start`; the end of the bytes when it never ends. */
export function skipString(bytes: Buffer, start: number, end: number): number {
  let quote = bytes.indexOf(QUOTE, start + 1);
  while (quote >= 0 && quote < end) {
    let backslashes = 0;
    while (bytes[quote - 1 - backslashes] === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
    quote = bytes.indexOf(QUOTE, quote + 1);
  }
  return end;
}

/** @throws INVALID_ARGUMENT for more than MAX_JSON_DEPTH */
export function checkDepth(bytes: Buffer): void {
  let depth = 0;
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = skipString(bytes, at, bytes.length);
      continue;
    }
    if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      depth += 1;
      if (depth > MAX_JSON_DEPTH) throw tooDeep();
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth -= 1;
    at += 1;
  }
}
