// An ONNX file without its large weights: all that the reader looks at, in a small part of the
// memory. A server inspects a file at each load; a model of gigabytes must not pass through its
// heap for that. Pure but for the source it reads from. Field numbers as in reader.ts.

/** Fields up to this size stay: leaving them out saves nothing. */
const LARGE_BYTES = 4 * 1024;
const WINDOW_BYTES = 16 * 1024;
/** Two varints of 64 bits: a field's tag and its length. */
const MAX_HEADER_BYTES = 20;

export interface OnnxSource {
  readonly sizeBytes: number;
  /** At most `maxBytes` from `startByte`; fewer at the end only. */
  read(startByte: number, maxBytes: number): Promise<Uint8Array>;
}

/** What becomes of a message's large fields, by number; those that are not named stay whole. */
interface Kind {
  readonly leftOut: ReadonlySet<number>;
  readonly nested: ReadonlyMap<number, Kind>;
}

// float_data, int32_data, int64_data, raw_data, double_data, uint64_data.
const TENSOR: Kind = { leftOut: new Set([4, 5, 7, 9, 10, 11]), nested: new Map() };
// s, floats, ints; t.
const ATTRIBUTE: Kind = { leftOut: new Set([4, 7, 8]), nested: new Map([[5, TENSOR]]) };
const NODE: Kind = { leftOut: new Set(), nested: new Map([[5, ATTRIBUTE]]) };
const GRAPH: Kind = {
  leftOut: new Set(),
  nested: new Map([
    [1, NODE],
    [5, TENSOR],
  ]),
};
const MODEL: Kind = { leftOut: new Set(), nested: new Map([[7, GRAPH]]) };

/** @returns undefined for what is no protobuf message: the reader tells what is wrong with it. */
export async function outlineOnnx(source: OnnxSource): Promise<Uint8Array | undefined> {
  const parts = await new Outline(source).message(MODEL, 0, source.sizeBytes);
  return parts === undefined ? undefined : joined(parts);
}

class Outline {
  readonly #source: OnnxSource;
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;
  #at = 0;

  constructor(source: OnnxSource) {
    this.#source = source;
  }

  async message(kind: Kind, start: number, end: number): Promise<Uint8Array[] | undefined> {
    const parts: Uint8Array[] = [];
    let keptFrom = start;
    this.#at = start;
    while (this.#at < end) {
      const fieldStart = this.#at;
      const field = await this.#field(end);
      if (field === undefined) return undefined;
      const { number, valueStart, valueEnd } = field;
      this.#at = valueEnd;
      if (!field.isDelimited || valueEnd - valueStart <= LARGE_BYTES) continue;
      const nested = kind.nested.get(number);
      if (nested === undefined && !kind.leftOut.has(number)) continue;
      parts.push(await this.#whole(keptFrom, fieldStart));
      keptFrom = valueEnd;
      if (nested === undefined) continue;
      const inner = await this.message(nested, valueStart, valueEnd);
      if (inner === undefined) return undefined;
      parts.push(header(number, sizeOf(inner)), ...inner);
      this.#at = valueEnd;
    }
    parts.push(await this.#whole(keptFrom, end));
    return parts;
  }

  /** The field that begins here; undefined where none does that ends by `end`. */
  async #field(end: number) {
    const left = this.#windowStart + this.#window.length - this.#at;
    if (this.#at < this.#windowStart || left < Math.min(MAX_HEADER_BYTES, end - this.#at)) {
      this.#window = await this.#source.read(this.#at, WINDOW_BYTES);
      this.#windowStart = this.#at;
    }
    const tag = this.#varint();
    const wireType = tag % 8;
    const number = Math.floor(tag / 8);
    let valueStart = this.#at;
    let valueEnd = Number.NaN;
    if (wireType === 0) valueEnd = Number.isNaN(this.#varint()) ? Number.NaN : this.#at;
    else if (wireType === 1) valueEnd = valueStart + 8;
    else if (wireType === 5) valueEnd = valueStart + 4;
    else if (wireType === 2) {
      const length = this.#varint();
      valueStart = this.#at;
      valueEnd = valueStart + length;
    }
    const isField = number >= 1 && valueEnd <= end;
    return isField ? { number, isDelimited: wireType === 2, valueStart, valueEnd } : undefined;
  }

  /** NaN where it does not end; past 2^53 only roughly right, which is past any end. */
  #varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 70; scale *= 128) {
      const byte = this.#window[this.#at - this.#windowStart];
      if (byte === undefined) return Number.NaN;
      this.#at += 1;
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
    return Number.NaN;
  }

  async #whole(start: number, end: number): Promise<Uint8Array> {
    return end > start ? await this.#source.read(start, end - start) : new Uint8Array(0);
  }
}

function header(number: number, lengthBytes: number): Uint8Array {
  const bytes: number[] = [];
  for (const value of [number * 8 + 2, lengthBytes]) {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
    bytes.push(rest);
  }
  return Uint8Array.from(bytes);
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(sizeOf(parts));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
