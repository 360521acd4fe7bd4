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

/** Lists that were looked at: the same ones come again and again. */
const GOOD_FIELDS = new WeakSet<readonly HeaderField[]>();

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
      mustBe(fields, checkResponse);
      this.stream.isRestUnwanted = isEnd;
      this.connection.sendHeaders(this.stream, fields, isEnd);
    } catch (thrown) {
      this.#breakOff(thrown);
    }
    this.served.sent();
  }

  sendData(bytes: Uint8Array): boolean {
    if (this.isAnswered) return false;
    const hasRoom = this.connection.sendData(this.stream, bytes, false);
    this.served.sent();
    return hasRoom;
  }

  sendTrailers(fields: readonly HeaderField[]): void {
    if (this.isAnswered) return;
    this.finish();
    try {
      mustBe(fields, checkTrailers);
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

/** @throws RangeError when the fields are none that may be sent */
function mustBe(fields: readonly HeaderField[], check: typeof checkResponse): void {
  if (GOOD_FIELDS.has(fields)) return;
  const verdict = check(fields);
  if (typeof verdict === 'string') throw new RangeError(`fields of an answer: ${verdict}`);
  GOOD_FIELDS.add(fields);
}
