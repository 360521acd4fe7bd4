// Cuts a file into its lines, for JSONL. A line above the limit is one bad record, and never held.
import { type Frame, type Framer, joined, MAX_RECORD_BYTES, TOO_LONG } from './record.ts';

const NEWLINE = 0x0a;
const NOTHING = new Uint8Array();

export class LineFramer implements Framer {
  #rest: Uint8Array = NOTHING;
  #isSkipping = false;

  push(chunk: Uint8Array): Frame[] {
    const buffer = joined(this.#rest, chunk);
    const frames: Frame[] = [];
    let start = 0;
    for (;;) {
      const end = buffer.indexOf(NEWLINE, start);
      if (end < 0) break;
      if (!this.#isSkipping) frames.push(frameOf(buffer.subarray(start, end)));
      this.#isSkipping = false;
      start = end + 1;
    }
    this.#rest = this.#isSkipping ? NOTHING : buffer.subarray(start);
    if (this.#rest.length > MAX_RECORD_BYTES) {
      frames.push(frameOf(this.#rest));
      this.#rest = NOTHING;
      this.#isSkipping = true;
    }
    return frames;
  }

  end(): Frame[] {
    return this.#rest.length > 0 ? [frameOf(this.#rest)] : [];
  }
}

function frameOf(bytes: Uint8Array): Frame {
  return { bytes, problem: bytes.length > MAX_RECORD_BYTES ? TOO_LONG : '' };
}
