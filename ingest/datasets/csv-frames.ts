// Cuts a CSV file into its records (RFC 4180: a quoted field may hold line breaks). What makes it
// ours is getting back on track: after a quote that is not closed, or a record above the limit,
// only the line that it began on is given up, and reading goes on with the next one. csv-parse
// loses the rest of its buffer, or of the file, there.
import { type Frame, type Framer, joined, MAX_RECORD_BYTES, TOO_LONG } from './record.ts';

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const QUOTE = 0x22;
const NOTHING = new Uint8Array();

const DELIMITERS = [',', ';', '\t'];
const BROKEN = 'a quoted field is not closed, or goes on after its closing quote';

export class CsvFramer implements Framer {
  /** The one that the first record, the header, has most of; a comma when it has none. */
  delimiter = '';
  #rest: Uint8Array = NOTHING;
  /** In a line above the limit, whose remainder is dropped. */
  #isSkipping = false;

  push(chunk: Uint8Array): Frame[] {
    return this.#cut(joined(this.#rest, chunk), false);
  }

  /** A last line need not end with a line break: it gets one. */
  end(): Frame[] {
    return this.#cut(joined(this.#rest, Buffer.from('\n')), true);
  }

  #cut(buffer: Buffer, isEnd: boolean): Frame[] {
    const frames: Frame[] = [];
    let start = 0;
    let quote = buffer.indexOf(QUOTE);
    while (start < buffer.length) {
      const newline = buffer.indexOf(NEWLINE, start);
      if (this.#isSkipping) {
        this.#isSkipping = newline < 0;
        start = newline < 0 ? buffer.length : newline + 1;
        continue;
      }
      if (quote >= 0 && quote < start) quote = buffer.indexOf(QUOTE, start);
      const hasQuote = quote >= 0 && (newline < 0 || quote < newline);
      const end = hasQuote ? this.#scan(buffer, start) : newline;
      const { frame, next } = settle(buffer, start, end, newline, isEnd);
      if (frame === undefined) break;
      if (frame.problem !== '' || !isBlank(frame.bytes)) frames.push(frame);
      if (this.delimiter === '') this.delimiter = delimiterOf(frame.bytes);
      this.#isSkipping = next > buffer.length;
      start = next;
    }
    this.#rest = buffer.subarray(start);
    return frames;
  }

  /** Where the record that has quotes ends: its line break, OPEN or WRONG. */
  #scan(buffer: Buffer, start: number): number {
    let isFieldStart = true;
    for (let at = start; at < buffer.length; at += 1) {
      const byte = buffer[at];
      if (byte === NEWLINE) return at;
      if (byte !== QUOTE || !isFieldStart) {
        isFieldStart = this.#isDelimiter(byte);
        continue;
      }
      at = closingQuote(buffer, at + 1);
      if (at < 0 || at + 1 >= buffer.length) return OPEN;
      const after = buffer[at + 1];
      if (after !== NEWLINE && after !== RETURN && !this.#isDelimiter(after)) return WRONG;
      isFieldStart = false;
    }
    return OPEN;
  }

  #isDelimiter(byte: number | undefined): boolean {
    const text = byte === undefined ? '' : String.fromCharCode(byte);
    return this.delimiter === '' ? DELIMITERS.includes(text) : text === this.delimiter;
  }
}

const OPEN = -1;
const WRONG = -2;

/** Position of the quote that closes a field; two together stand for one inside it. */
function closingQuote(buffer: Buffer, from: number): number {
  let at = buffer.indexOf(QUOTE, from);
  while (at >= 0 && buffer[at + 1] === QUOTE) at = buffer.indexOf(QUOTE, at + 2);
  return at;
}

/**
 * What to take from `start`, and where to go on: past the buffer's end when the line goes on there
 * and is to be dropped. No frame: more bytes are needed to tell.
 */
function settle(
  buffer: Buffer,
  start: number,
  end: number,
  newline: number,
  isEnd: boolean,
): { readonly frame?: Frame; readonly next: number } {
  const isTooLong = (end >= 0 ? end : buffer.length) - start > MAX_RECORD_BYTES;
  if (end >= 0 && !isTooLong) {
    return { frame: { bytes: buffer.subarray(start, end), problem: '' }, next: end + 1 };
  }
  // Its first line may be all that is given up of it: that must be there.
  if (!isTooLong && !isEnd && (end === OPEN || newline < 0)) return { next: start };
  const lineEnd = newline < 0 ? buffer.length : newline;
  const problem = lineEnd - start > MAX_RECORD_BYTES ? TOO_LONG : BROKEN;
  return { frame: { bytes: buffer.subarray(start, lineEnd), problem }, next: lineEnd + 1 };
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.length === 0 || (bytes.length === 1 && bytes[0] === RETURN);
}

function delimiterOf(header: Uint8Array): string {
  const outside = Buffer.from(header)
    .toString('latin1')
    .replace(/"[^"]*"/g, '');
  const count = (delimiter: string) => outside.split(delimiter).length;
  return DELIMITERS.reduce((best, other) => (count(other) > count(best) ? other : best));
}
