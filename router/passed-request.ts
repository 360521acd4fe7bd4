// The content of a request that is passed on: gathered until it says which model it is for. Small
// requests are gathered whole, and kept, so that they can be sent once more. Of a large one no more
// than its first bytes are: the rest is looked at as it passes. One whose first bytes don't tell,
// or that is compressed, is gathered whole after all. Pure.
import { Code, StatusError } from '../common/status.ts';
import { type ModelCall, scanModelCall, scanModelHead } from '../proto/oip/scan.ts';
import { TailScan } from '../proto/oip/tail-scan.ts';
import { messagePrefix, messageTooLarge, PREFIX_BYTES } from '../transport/grpc/message-prefix.ts';

/** Requests up to this size are gathered whole, and kept until they are answered. */
export const KEPT_REQUEST_BYTES = 1024 * 1024;
/** So deep into a larger one it must be said which model it is for; else it is gathered whole. */
export const HEAD_BYTES = 64 * 1024;

const NO_MODEL: ModelCall = { model: '', version: '', label: '', sequence: undefined };
/** Shorter pieces are put together, so that many small ones don't cost a view each. */
const SMALL_PIECE_BYTES = 1024;
const ROOM_BYTES = 16 * 1024;

/** Of a request without pieces; never added to. */
const NONE: Uint8Array[] = [];

export type RequestPhase =
  /** More must come before anything can be done. */
  | 'gathering'
  /** It is whole, but compressed: told() is to be called with what it inflates to. */
  | 'packed'
  /** `named` is known. */
  | 'named';

export class PassedRequest {
  phase: RequestPhase = 'gathering';
  named: ModelCall | undefined = undefined;
  /** In order of coming. Empty again after drop(). */
  pieces: Uint8Array[] = NONE;
  /** Of all that has come, prefixes included. */
  sizeBytes = 0;
  /** All has come. */
  isWhole = false;
  /** It is not gathered whole: what comes is to be passed on before the rest comes. */
  isPassing = false;
  readonly #path: string;
  readonly #isStream: boolean;
  readonly #maxMessageBytes: number;
  #isPacked = false;
  #isDropped = false;
  #inflated: Uint8Array | undefined = undefined;
  /** Of the first message; -1: not known yet. */
  #messageBytes = -1;
  /** Below that many bytes the head is not looked at again: each look costs as much as there is. */
  #nextLookBytes = 0;
  /** The last piece is a view of this, from #roomStart to #roomEnd; more can be put behind it. */
  #room: Uint8Array | undefined = undefined;
  #roomEnd = 0;
  #tail: TailScan | undefined = undefined;

  constructor(path: string, isStream: boolean, maxMessageBytes: number) {
    this.#path = path;
    this.#isStream = isStream;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** The pieces are all that has come: nothing of it was dropped. */
  get isKept(): boolean {
    return this.pieces.length > 0 && !this.#isDropped;
  }

  /** It is small enough to be kept for a resend, as far as it has come. */
  get isSmall(): boolean {
    return this.sizeBytes <= PREFIX_BYTES + KEPT_REQUEST_BYTES;
  }

  /**
   * More of it, which must stay as it is.
   * @throws StatusError that the caller is to be told
   */
  push(piece: Uint8Array, isEnd: boolean): void {
    this.sizeBytes += piece.length;
    this.isWhole = isEnd;
    if (this.isPassing) {
      this.#tail?.push(piece);
      this.#add(piece);
      return;
    }
    this.#add(piece);
    if (this.#messageBytes < 0 && !this.#readPrefix()) return;
    if (this.#isStream) this.#nameStream();
    else if (isEnd) this.#nameWhole();
    else this.#namePassing();
  }

  /** What a packed message inflated to. @throws as push() */
  told(message: Uint8Array): void {
    this.#inflated = message;
    this.#name(scanModelCall(this.#path, message));
  }

  /** Undefined: it isn't packed, or was forgotten. */
  get inflated(): Uint8Array | undefined {
    return this.#inflated;
  }

  /**
   * The inflated message takes the place of the packed one, so that something can be put behind it.
   * False: it stays packed, as what it inflated to was forgotten when it was sent before.
   */
  unpack(): boolean {
    if (!this.#isPacked) return true;
    const inflated = this.#inflated;
    if (inflated === undefined || this.#isStream) return false;
    this.#replace(Buffer.concat([messagePrefix(inflated.length), inflated]));
    this.#messageBytes = inflated.length;
    this.sizeBytes = PREFIX_BYTES + inflated.length;
    this.#inflated = undefined;
    this.#isPacked = false;
    return true;
  }

  /** What inflated to it goes on packed. */
  forgetInflated(): void {
    this.#inflated = undefined;
  }

  /** Of the first message, without its prefix. */
  get messageBytes(): number {
    return this.#messageBytes;
  }

  /** The pieces so far stay as they are: later ones are put behind them. */
  seal(): void {
    this.#room = undefined;
  }

  /** The first message without its prefix, when it has come whole: joined if it is in pieces. */
  message(): Uint8Array {
    return this.#joined().subarray(PREFIX_BYTES, PREFIX_BYTES + this.#messageBytes);
  }

  /** The pieces have gone on for good. */
  drop(): void {
    if (this.pieces.length > 0) this.#isDropped = true;
    this.pieces = NONE;
    this.#room = undefined;
    this.#inflated = undefined;
  }

  /** All that has come, in one piece. */
  #joined(): Uint8Array {
    const [first] = this.pieces;
    if (first !== undefined && this.pieces.length === 1) return first;
    const whole = Buffer.concat(this.pieces);
    this.#replace(whole);
    return whole;
  }

  #replace(whole: Uint8Array): void {
    this.pieces = [whole];
    this.#room = undefined;
  }

  #add(piece: Uint8Array): void {
    if (this.pieces.length === 0) {
      // Most often the only one: push() would make room for many.
      this.pieces = [piece];
      this.#room = undefined;
      return;
    }
    if (piece.length === 0) return;
    if (piece.length >= SMALL_PIECE_BYTES) {
      this.pieces.push(piece);
      this.#room = undefined;
      return;
    }
    const isNew = this.#room === undefined || this.#roomEnd + piece.length > ROOM_BYTES;
    if (isNew) {
      this.#room = Buffer.allocUnsafeSlow(ROOM_BYTES);
      this.#roomEnd = 0;
    }
    const room = this.#room as Uint8Array;
    room.set(piece, this.#roomEnd);
    this.#roomEnd += piece.length;
    const view = room.subarray(0, this.#roomEnd);
    if (isNew) this.pieces.push(view);
    else this.pieces[this.pieces.length - 1] = view;
  }

  #readPrefix(): boolean {
    const [first] = this.pieces;
    if (this.sizeBytes < PREFIX_BYTES || first === undefined) {
      if (!this.isWhole) return false;
      throw new StatusError(Code.UNIMPLEMENTED, `${this.#path} takes one request, got none`);
    }
    if (first.length < PREFIX_BYTES) this.#replace(Buffer.concat(this.pieces));
    const prefix = this.pieces[0] as Uint8Array;
    const flag = prefix[0] as number;
    const length =
      (prefix[1] as number) * 2 ** 24 +
      (((prefix[2] as number) << 16) | ((prefix[3] as number) << 8) | (prefix[4] as number));
    if (flag > 1) {
      throw new StatusError(Code.INTERNAL, `a message begins with ${flag}: 0 or 1 is expected`);
    }
    if (length > this.#maxMessageBytes) throw messageTooLarge(length, this.#maxMessageBytes);
    this.#isPacked = flag === 1;
    this.#messageBytes = length;
    return true;
  }

  #nameWhole(): void {
    const wanted = PREFIX_BYTES + this.#messageBytes;
    if (this.sizeBytes < wanted) {
      const text = `the request ends after ${this.sizeBytes} of the ${wanted} bytes it announces`;
      throw new StatusError(Code.INTERNAL, text);
    }
    if (this.sizeBytes > wanted) {
      throw new StatusError(Code.UNIMPLEMENTED, `${this.#path} takes one request, got more`);
    }
    if (this.#isPacked) this.phase = 'packed';
    else this.#name(scanModelCall(this.#path, this.#joined(), PREFIX_BYTES));
  }

  /** A large request may go on before it is whole, if its first bytes name the model. */
  #namePassing(): void {
    const wanted = PREFIX_BYTES + this.#messageBytes;
    if (this.sizeBytes > wanted) {
      throw new StatusError(Code.UNIMPLEMENTED, `${this.#path} takes one request, got more`);
    }
    if (this.#isPacked || this.#messageBytes <= KEPT_REQUEST_BYTES) return;
    if (this.sizeBytes < this.#nextLookBytes) return;
    this.#nextLookBytes = this.sizeBytes * 2;
    const head = this.#head();
    const named = scanModelHead(this.#path, head);
    if (named === undefined || named.model === '') {
      if (head.length === HEAD_BYTES) this.#nextLookBytes = Number.POSITIVE_INFINITY;
      return;
    }
    this.isPassing = true;
    this.#tail = new TailScan(this.#path, named.settledAt);
    let skipped = PREFIX_BYTES + named.settledAt;
    for (const piece of this.pieces) {
      if (skipped < piece.length) this.#tail.push(piece.subarray(skipped));
      skipped = Math.max(0, skipped - piece.length);
    }
    this.#name(named);
  }

  /** A stream is for the model of its first message. */
  #nameStream(): void {
    if (this.sizeBytes < PREFIX_BYTES + this.#messageBytes) {
      if (!this.isWhole) return;
      throw new StatusError(Code.INTERNAL, 'the stream ends in the middle of its first message');
    }
    this.isPassing = true;
    if (this.#isPacked) this.phase = 'packed';
    else this.#name(scanModelCall(this.#path, this.message()));
  }

  /** At most the first HEAD_BYTES of the message. */
  #head(): Uint8Array {
    const [first] = this.pieces;
    if (this.pieces.length === 1 && first !== undefined) {
      return first.subarray(PREFIX_BYTES, PREFIX_BYTES + HEAD_BYTES);
    }
    const all = Buffer.concat(this.pieces, Math.min(this.sizeBytes, PREFIX_BYTES + HEAD_BYTES));
    return all.subarray(PREFIX_BYTES);
  }

  #name(named: ModelCall | undefined): void {
    this.named = named ?? NO_MODEL;
    this.phase = 'named';
  }
}
