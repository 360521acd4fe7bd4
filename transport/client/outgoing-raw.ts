// A call that is passed on as it is: bytes both ways under flow control of the two ends, which
// nothing here looks into. Before there is a connection, what has come of the request waits; that
// is a window at most, as nothing of it is consumed before it was sent.

import { Code, type StatusError } from '../../common/status.ts';
import type { Stream } from '../http2/connection/stream.ts';
import { ErrorCode } from '../http2/frames/constants.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import type { HeaderList } from '../http2/hpack/header-list.ts';
import type { RawCaller, RawRequest } from '../raw-call.ts';
import type { Link } from './link.ts';
import { type Carrier, Outgoing } from './outgoing.ts';

const NO_FIELDS: readonly HeaderField[] = [];
const NO_BYTES = new Uint8Array(0);

export class OutgoingRaw extends Outgoing implements RawRequest {
  readonly #path: string;
  readonly #fields: readonly HeaderField[];
  readonly #untilMs: number;
  readonly #caller: RawCaller;
  #stream: Stream | undefined;
  #early: Uint8Array[] | undefined;
  #isEarlyEnd = false;
  #isDone = false;

  constructor(
    carrier: Carrier,
    path: string,
    fields: readonly HeaderField[],
    deadlineMs: number,
    caller: RawCaller,
  ) {
    super(carrier, Number.POSITIVE_INFINITY, 0);
    this.#path = path;
    this.#fields = fields;
    this.#untilMs = deadlineMs;
    this.#caller = caller;
  }

  get nowMs(): number {
    return this.link?.connection.nowMs ?? this.carrier.nowMs();
  }

  start(link: Link, nowMs: number): boolean {
    const { connection, headers } = link;
    const timeout = headers.timeout(this.#untilMs - nowMs);
    const known = headers.passedOn(this.#path, this.#fields);
    const stream =
      known === undefined
        ? connection.openRepeated(
            headers.beforePassed(this.#path),
            [...this.#fields, ...timeout],
            false,
          )
        : connection.openRepeated(known, timeout, false);
    if (stream === undefined) return false;
    this.link = link;
    this.#stream = stream;
    stream.context = this;
    if (this.#early !== undefined) this.#sendEarly(this.#early);
    return true;
  }

  sendData(bytes: Uint8Array, isEnd: boolean): boolean {
    if (this.#isDone) return false;
    const [stream, link] = [this.#stream, this.link];
    if (stream === undefined || link === undefined) {
      this.#early ??= [];
      this.#early.push(bytes);
      this.#isEarlyEnd = isEnd;
      return false;
    }
    const hasRoom = link.connection.sendData(stream, bytes, isEnd);
    link.wake();
    return hasRoom;
  }

  consumeAnswer(bytes: number): void {
    const [stream, link] = [this.#stream, this.link];
    if (stream === undefined || link === undefined) return;
    link.connection.consume(stream, bytes);
    link.wake();
  }

  reset(code: number): void {
    this.#isDone = true;
    this.#early = undefined;
    if (this.#stream === undefined) this.carrier.forget(this);
    else this.link?.reset(this.#stream, code);
  }

  onHead(list: HeaderList, isEnd: boolean): void {
    if (isEnd) this.#finish();
    this.#caller.onAnswerHeaders(list.fields, isEnd);
  }

  onData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    if (end > start) this.#caller.onAnswerData(bytes, start, end);
    if (!isEnd || this.#isDone) return;
    this.#finish();
    this.#caller.onAnswerTrailers(NO_FIELDS);
  }

  onTrailers(list: HeaderList): void {
    this.#finish();
    this.#caller.onAnswerTrailers(list.fields);
  }

  onWritable(): void {
    if (!this.#isDone) this.#caller.onRequestWritable();
  }

  onLost(code: number, isUnprocessed: boolean, why: string, isConnection: boolean): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#caller.onAnswerLost(code, isUnprocessed, why, isConnection);
  }

  refuse(error: StatusError): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#early = undefined;
    // Fields that can't be sent here can't be sent elsewhere either.
    if (error.code === Code.INVALID_ARGUMENT) {
      this.#caller.onAnswerLost(ErrorCode.PROTOCOL_ERROR, false, error.message, false);
    } else this.#caller.onAnswerLost(ErrorCode.REFUSED_STREAM, true, error.message, true);
  }

  /** Who took the call keeps its deadline. */
  expire(): void {}

  #sendEarly(early: readonly Uint8Array[]): void {
    const [stream, link] = [this.#stream, this.link];
    if (stream === undefined || link === undefined) return;
    this.#early = undefined;
    let hasRoom = true;
    for (const bytes of early) hasRoom = link.connection.sendData(stream, bytes, false);
    if (this.#isEarlyEnd) link.connection.sendData(stream, NO_BYTES, true);
    else if (hasRoom) this.#caller.onRequestWritable();
  }

  /** The answer is whole: the rest of the request is of no use to the server. */
  #finish(): void {
    this.#isDone = true;
    if (this.#stream !== undefined) this.link?.resetUnsent(this.#stream);
  }
}
