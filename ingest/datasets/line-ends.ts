// Lines that end with a lone carriage return, as old Mac programs and some instruments write CSV:
// the framer knows line feeds only and would see one long line. Such files are read as if they had
// line feeds; all others pass unchanged.
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** The first line break of a file tells: a return that no line feed follows, nor stands near. */
export class LineEnds {
  #kind: 'unknown' | 'returns' | 'other' = 'unknown';
  /** A return at the end of a chunk, held back until it is known what follows it. */
  #held: Buffer = Buffer.alloc(0);

  /** The same bytes, or a copy with line feeds. Less than what came while a return is held back. */
  push(chunk: Buffer): Buffer {
    const bytes = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk;
    this.#held = bytes.subarray(0, 0);
    if (this.#kind === 'unknown') this.#kind = kindOf(bytes);
    if (this.#kind === 'returns') return withNewlines(bytes);
    if (this.#kind === 'other' || bytes.at(-1) !== RETURN) return bytes;
    this.#held = bytes.subarray(-1);
    return bytes.subarray(0, -1);
  }

  end(): Buffer {
    return this.#held.length > 0 ? Buffer.of(NEWLINE) : this.#held;
  }
}

/** Unknown: there is no line break in it but perhaps a return as its last byte. */
function kindOf(bytes: Buffer): 'unknown' | 'returns' | 'other' {
  // A return inside a quoted field is no line break where lines end with line feeds.
  if (bytes.includes(NEWLINE)) return 'other';
  const at = bytes.indexOf(RETURN);
  return at >= 0 && at < bytes.length - 1 ? 'returns' : 'unknown';
}

function withNewlines(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = copy.indexOf(RETURN); at >= 0; at = copy.indexOf(RETURN, at + 1)) {
    copy[at] = NEWLINE;
  }
  return copy;
}
