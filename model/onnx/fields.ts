// A cursor over the fields of one protobuf message, for bytes that nobody vouches for: whatever is
// wrong with them is INVALID_ARGUMENT with the place, nothing is copied but strings and numbers,
// and a budget of fields bounds the work that a hostile file can cause.
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { invalidArgument, type StatusError } from '../../common/status.ts';

/**
 * Fields of one file, all messages together, a nested message counting as MESSAGE_FIELDS. More:
 * INVALID_ARGUMENT (seconds of work by then). Forests of some ten million nodes come near it.
 */
export const MAX_FIELDS = 100_000_000;
const MESSAGE_FIELDS = 10;
/** Longest string that is kept (a name). Longer: INVALID_ARGUMENT. */
export const MAX_STRING_BYTES = 65_536;

/** Counts down over one file. */
export interface FieldBudget {
  left: number;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

export class Fields {
  /** Number of the field that the cursor stands on. */
  number = 0;
  /** Where this message is, for error texts: 'graph.node'. */
  readonly path: string;
  readonly #reader: BinaryReader;
  readonly #budget: FieldBudget;
  #wireType: WireType = WireType.Varint;

  constructor(bytes: Uint8Array, path: string, budget: FieldBudget) {
    this.path = path;
    this.#reader = new BinaryReader(bytes);
    this.#budget = budget;
  }

  /** Moves to the next field; false at the message's end. Read or skip a field before the next. */
  next(): boolean {
    if (this.#reader.pos >= this.#reader.len) return false;
    if (this.#budget.left-- <= 0) throw this.error(`it has more than ${MAX_FIELDS} fields`);
    [this.number, this.#wireType] = this.#guard(() => this.#reader.tag());
    return true;
  }

  skip(): void {
    this.#guard(() => this.#reader.skip(this.#wireType, this.number));
  }

  /** A view, no copy. */
  bytes(): Uint8Array {
    this.#expect(WireType.LengthDelimited, 'bytes');
    return this.#guard(() => this.#reader.bytes());
  }

  message(name: string): Fields {
    this.#expect(WireType.LengthDelimited, 'a message');
    const path = this.path === '' ? name : `${this.path}.${name}`;
    this.#budget.left -= MESSAGE_FIELDS - 1;
    return new Fields(
      this.#guard(() => this.#reader.bytes()),
      path,
      this.#budget,
    );
  }

  string(maxBytes: number = MAX_STRING_BYTES): string {
    const bytes = this.bytes();
    if (bytes.length > maxBytes) {
      throw this.error(
        `field ${this.number} is ${bytes.length} bytes of text, at most ${maxBytes}`,
      );
    }
    try {
      return UTF8.decode(bytes);
    } catch {
      throw this.error(`field ${this.number} is text that is not valid UTF-8`);
    }
  }

  /** An int64 or enum within +-2^53. */
  integer(): number {
    this.#expect(WireType.Varint, 'an integer');
    return this.#exact(this.#guard(() => this.#reader.int64()));
  }

  /** Appends one value or a packed run of them. */
  integers(into: number[], maxCount: number): void {
    if (this.#wireType !== WireType.LengthDelimited) {
      this.#append(into, this.integer(), maxCount);
      return;
    }
    const packed = new BinaryReader(this.bytes());
    while (packed.pos < packed.len) {
      this.#append(into, this.#exact(this.#guard(() => packed.int64())), maxCount);
    }
  }

  error(reason: string): StatusError {
    const place = this.path === '' ? 'at the top level' : `in ${this.path}`;
    const byte = Math.min(this.#reader.pos, this.#reader.len);
    return invalidArgument(`not a valid ONNX file: ${reason} (${place}, near its byte ${byte})`);
  }

  #append(into: number[], value: number, maxCount: number): void {
    if (into.length >= maxCount)
      throw this.error(`field ${this.number} has over ${maxCount} values`);
    into.push(value);
  }

  #exact(value: bigint | string): number {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw this.error(`field ${this.number} is ${value}`);
    return number;
  }

  #expect(wireType: WireType, what: string): void {
    if (this.#wireType === wireType) return;
    throw this.error(`field ${this.number} has wire type ${this.#wireType} where ${what} belongs`);
  }

  #guard<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // The reader's words for a length that leads beyond the end.
      const isCut = reason === 'premature EOF';
      throw this.error(isCut ? 'it ends in the middle, as if it was cut off' : reason);
    }
  }
}
