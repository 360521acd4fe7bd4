// A call whose bytes are passed on by its owner (RawCall): nothing is looked into, and nothing is
// consumed before the owner says so.
import { Code } from '../../common/status.ts';
import { type Metadata, NO_METADATA } from '../backend.ts';
import { checkResponse, checkTrailers } from '../http2/connection/header-rules.ts';
import { Progress } from '../http2/connection/stream.ts';
import { ErrorCode } from '../http2/frames/constants.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import type { RawBackend, RawCall, RawCallee } from '../raw-call.ts';
import { lasting } from '../read-memory.ts';
import { HEAD } from './answer-fields.ts';
import { ServerCall } from './server-call.ts';

/** Lists that were found good last are remembered: nodes send the same few again and again. */
const GOOD_LISTS = 8;

class Checked {
  readonly #check: typeof checkResponse;
  readonly #good: (readonly HeaderField[])[] = [];
  #next = 0;

  constructor(check: typeof checkResponse) {
    this.#check = check;
  }

  /** @throws RangeError when the fields are none that may be sent */
  mustBeGood(fields: readonly HeaderField[]): void {
    for (const good of this.#good) if (good === fields) return;
    const verdict = this.#check(fields);
    if (typeof verdict === 'string') throw new RangeError(`fields of an answer: ${verdict}`);
    this.#good[this.#next] = fields;
    this.#next = (this.#next + 1) % GOOD_LISTS;
  }
}

const HEADS = new Checked(checkResponse);
const ENDS = new Checked(checkTrailers);

export class PassedCall extends ServerCall implements RawCall {
  #callee: RawCallee | undefined = undefined;

  get fields(): readonly HeaderField[] {
    return this.route.passedOn;
  }

  get nowMs(): number {
    return this.connection.nowMs;
  }

  start(raw: RawBackend): void {
    try {
      this.#callee = raw.raw(this);
    } catch (thrown) {
      this.threw(thrown);
    }
  }

  onData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    const callee = this.#callee;
    if (this.isAnswered || callee === undefined) {
      this.connection.consume(this.stream, end - start);
      return;
    }
    if (!this.hold(end - start)) return;
    try {
      const kept = lasting(bytes, start, end);
      callee.onRequestData(kept, 0, kept.length, isEnd);
    } catch (thrown) {
      this.threw(thrown);
    }
  }

  override onWritable(): void {
    if (this.isAnswered) return;
    try {
      this.#callee?.onAnswerWritable();
    } catch (thrown) {
      this.threw(thrown);
    }
  }

  override onGone(code: number, why: string): void {
    if (this.isAnswered) return;
    this.finish();
    this.#tellGone(code, why);
  }

  protected override endAgainstWill(code: Code, text: string): void {
    this.finish();
    this.sendStatus(code, text, NO_METADATA);
    this.#tellGone(ErrorCode.CANCEL, text);
  }

  consumeRequest(bytes: number): void {
    if (this.isAnswered) return;
    this.letGo(bytes);
    this.connection.consume(this.stream, bytes);
    this.served.wake();
  }

  sendHeaders(fields: readonly HeaderField[], isEnd: boolean): void {
    if (this.isAnswered) return;
    if (isEnd) this.finish();
    try {
      HEADS.mustBeGood(fields);
      this.stream.isRestUnwanted = isEnd;
      this.connection.sendHeaders(this.stream, fields, isEnd);
    } catch (thrown) {
      this.#breakOff(thrown);
    }
    this.served.sent();
  }

  sendData(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
    if (this.isAnswered) return false;
    const hasRoom = this.connection.sendData(this.stream, bytes, false, start, end);
    this.served.sent();
    return hasRoom;
  }

  sendTrailers(fields: readonly HeaderField[]): void {
    if (this.isAnswered) return;
    this.finish();
    try {
      ENDS.mustBeGood(fields);
      this.stream.isRestUnwanted = true;
      this.connection.sendTrailers(this.stream, fields);
    } catch (thrown) {
      this.#breakOff(thrown);
    }
    this.served.sent();
  }

  succeed(message: Uint8Array, trailers: Metadata = NO_METADATA): void {
    if (this.isAnswered || !this.mayAnswer(message.length)) return;
    this.finish();
    if (this.stream.sending === Progress.NONE) {
      this.connection.sendHeaders(this.stream, HEAD, false);
    }
    this.served.sendMessage(this.stream, message, false);
    this.sendStatus(Code.OK, '', trailers);
  }

  reset(code: number): void {
    if (this.isAnswered) return;
    this.finish();
    this.connection.reset(this.stream, code);
    this.served.sent();
  }

  #tellGone(code: number, why: string): void {
    this.isCancelled = true;
    try {
      this.#callee?.onCallerGone(code, why);
    } catch (thrown) {
      this.complain(thrown);
    }
  }

  /** Fields that can't be sent end the call: what is before them may have left. */
  #breakOff(thrown: unknown): void {
    this.complain(thrown);
    if (!this.isAnswered) this.finish();
    this.connection.reset(this.stream, ErrorCode.INTERNAL_ERROR);
  }
}
