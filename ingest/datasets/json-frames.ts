// Cuts a JSON array into its elements without parsing them, so that one bad element is one bad
// record. Only brackets and strings are followed; JSON.parse judges what is between.
import { invalidArgument } from '../../common/status.ts';
import { type Frame, type Framer, joined, MAX_RECORD_BYTES, TOO_LONG } from './record.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const NOTHING = new Uint8Array();

export class JsonArrayFramer implements Framer {
  #place: 'before' | 'inside' | 'after' = 'before';
  #rest: Uint8Array = NOTHING;
  /** How far the rest has been looked at already. */
  #at = 0;
  #depth = 0;
  #isString = false;
  #isEscaped = false;
  /** In an element above the limit, whose remainder is dropped. */
  #isSkipping = false;
  #elements = 0;

  /** @throws INVALID_ARGUMENT when the file is no array, or goes on after it. */
  push(chunk: Uint8Array): Frame[] {
    const buffer = joined(this.#rest, chunk);
    const frames: Frame[] = [];
    let start = 0;
    for (let at = this.#at; at < buffer.length; at += 1) {
      if (this.#place === 'inside') {
        const byte = buffer[at] ?? 0;
        if (!this.#ends(byte)) continue;
        this.#take(frames, buffer.subarray(start, at), byte === CLOSE_ARRAY);
      } else {
        this.#outside(buffer[at] ?? 0);
      }
      start = at + 1;
    }
    this.#keep(frames, buffer.subarray(start));
    return frames;
  }

  /** @throws INVALID_ARGUMENT when the array is not closed: the file was cut off. */
  end(): Frame[] {
    if (this.#place === 'after') return [];
    // Nothing at all is an empty file, which is told where all formats are.
    if (this.#place === 'before') return [];
    throw invalidArgument(
      `the JSON file ends inside its array, after ${this.#elements} elements: it was cut off, or ` +
        'a bracket or quote is not closed',
    );
  }

  #outside(byte: number): void {
    if (isSpace(byte)) return;
    if (this.#place === 'before' && byte === OPEN_ARRAY) {
      this.#place = 'inside';
      return;
    }
    throw invalidArgument(
      this.#place === 'before'
        ? 'a JSON file must be an array of objects; for one object on each line use format jsonl'
        : 'the JSON file goes on after the end of its array',
    );
  }

  /** Whether the byte ends the element that it stands in. */
  #ends(byte: number): boolean {
    if (this.#isString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (byte === BACKSLASH) this.#isEscaped = true;
      else if (byte === QUOTE) this.#isString = false;
      return false;
    }
    if (byte === QUOTE) this.#isString = true;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#depth += 1;
    else if (this.#depth === 0) return byte === COMMA || byte === CLOSE_ARRAY;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) this.#depth -= 1;
    return false;
  }

  #take(frames: Frame[], bytes: Uint8Array, isLast: boolean): void {
    if (isLast) this.#place = 'after';
    const isTooLong = bytes.length > MAX_RECORD_BYTES;
    const isEmptyArray = isLast && this.#elements === 0 && bytes.every(isSpace);
    this.#elements += 1;
    if (!this.#isSkipping && !isEmptyArray) {
      frames.push({ bytes, problem: isTooLong ? TOO_LONG : '' });
    }
    this.#isSkipping = false;
  }

  #keep(frames: Frame[], rest: Uint8Array): void {
    if (!this.#isSkipping && rest.length > MAX_RECORD_BYTES) {
      frames.push({ bytes: rest, problem: TOO_LONG });
      this.#isSkipping = true;
    }
    this.#rest = this.#isSkipping ? NOTHING : rest;
    this.#at = this.#rest.length;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
