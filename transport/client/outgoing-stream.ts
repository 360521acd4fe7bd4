// A call that streams in one or both directions. What the caller sends waits for the server's
// window, what comes back for the caller: neither is ever held beyond a window and a message.
import { Code, StatusError, statusOf } from '../../common/status.ts';
import type { MethodKind, StreamCall } from '../backend.ts';
import { checkMayBeCompressed } from '../grpc/encoding.ts';
import { inflateLater, inflateNow } from '../grpc/gzip.ts';
import { messageTooLarge, PREFIX_BYTES, writePrefix } from '../grpc/message-prefix.ts';
import { MessageReader } from '../grpc/message-reader.ts';
import type { Outcome } from '../grpc/status-fields.ts';
import type { Stream } from '../http2/connection/stream.ts';
import { ErrorCode } from '../http2/frames/constants.ts';
import { HeaderList } from '../http2/hpack/header-list.ts';
import type { Link } from './link.ts';
import { type Carrier, expired, lossOf, Outgoing } from './outgoing.ts';
import { outcomeOf, type ResponseHead, responseHead } from './response-head.ts';

/** Copied into the frame at once, so that one is enough. */
const PREFIX = new Uint8Array(PREFIX_BYTES);
const NO_BYTES = new Uint8Array(0);
/** Of an answer whose content ended the stream. */
const NO_TRAILERS = new HeaderList([], 0, undefined);

export class OutgoingStream extends Outgoing {
  readonly #call: StreamCall;
  /** Whether the method answers with one message. */
  readonly #isOneAnswer: boolean;
  readonly #reader: MessageReader;
  #stream: Stream | undefined;
  #head: ResponseHead | undefined;
  #answers = 0;

  // What the caller sent before there was a stream: it was asked to hold at the first.
  #early: Uint8Array[] = [];
  #isHalfClosed = false;
  #isCallerPaused = false;

  /** The caller takes no more for now. */
  #isHeld = false;
  #isInflating = false;
  /** The answer has ended so; what is held comes first. */
  #outcome: Outcome | undefined;
  #isDone = false;

  constructor(carrier: Carrier, call: StreamCall, kind: MethodKind) {
    super(carrier, call.deadlineMs, 0);
    this.#call = call;
    this.#isOneAnswer = kind === 'client_stream' || kind === 'unary';
    this.#reader = new MessageReader(carrier.maxMessageBytes);
    call.onCancel = () => this.#fail(new StatusError(Code.CANCELLED, 'caller cancelled'));
    call.onMessage = (message) => this.#send(message);
    call.onHalfClose = () => this.#halfClose();
    call.onDrain = () => {
      this.#isHeld = false;
      this.#deliver();
    };
  }

  start(link: Link, nowMs: number): boolean {
    const { path, metadata } = this.#call;
    const { connection, headers } = link;
    const varying = headers.varying(this.deadlineMs - nowMs, metadata);
    const stream = connection.openRepeated(headers.constant(path), varying, false);
    if (stream === undefined) return false;
    this.link = link;
    this.#stream = stream;
    stream.context = this;
    const early = this.#early;
    this.#early = [];
    let hasRoom = true;
    for (const message of early) hasRoom = this.#write(stream, link, message);
    if (this.#isHalfClosed) connection.sendData(stream, NO_BYTES, true);
    else if (hasRoom) this.#resumeCaller();
    return true;
  }

  onHead(list: HeaderList, isEnd: boolean): void {
    const head = responseHead(list);
    this.#head = head;
    if (isEnd && head.hasStatus) {
      this.#end(outcomeOf(list, head.httpStatus));
      return;
    }
    const error = head.error();
    if (error !== undefined) this.#fail(error);
    else if (isEnd) this.#end(outcomeOf(list, head.httpStatus));
  }

  onData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    if (this.#isDone) return;
    this.#reader.push(bytes, start, end);
    if (isEnd) this.#end(outcomeOf(NO_TRAILERS, this.#head?.httpStatus ?? 0));
    else this.#deliver();
  }

  onTrailers(list: HeaderList): void {
    if (!this.#isDone) this.#end(outcomeOf(list, this.#head?.httpStatus ?? 0));
  }

  onLost(code: number, isUnprocessed: boolean, why: string, isConnection: boolean): void {
    if (this.#isDone || this.#outcome !== undefined) return;
    this.#isDone = true;
    const hasAnswer = this.#head !== undefined;
    this.#call.fail(lossOf(this.address, code, isUnprocessed, why, isConnection, hasAnswer));
  }

  onWritable(): void {
    if (!this.#isDone) this.#resumeCaller();
  }

  refuse(error: StatusError): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#call.fail(error);
  }

  expire(): void {
    this.#fail(expired(this.#call.path, this.address));
  }

  #send(message: Uint8Array): void {
    if (this.#isDone || this.#isHalfClosed) return;
    const { maxMessageBytes } = this.carrier;
    if (message.length > maxMessageBytes) {
      this.#fail(messageTooLarge(message.length, maxMessageBytes));
      return;
    }
    const [stream, link] = [this.#stream, this.link];
    if (stream === undefined || link === undefined) this.#early.push(message);
    else if (this.#write(stream, link, message)) return;
    if (this.#isCallerPaused) return;
    this.#isCallerPaused = true;
    this.#call.pause();
  }

  #write(stream: Stream, link: Link, message: Uint8Array): boolean {
    writePrefix(PREFIX, 0, message.length);
    const hasRoom = link.connection.sendPrefixed(stream, PREFIX, message, false);
    link.wake();
    return hasRoom;
  }

  #halfClose(): void {
    if (this.#isDone || this.#isHalfClosed) return;
    this.#isHalfClosed = true;
    if (this.#stream === undefined) return;
    this.link?.connection.sendData(this.#stream, NO_BYTES, true);
    this.link?.wake();
  }

  #resumeCaller(): void {
    if (!this.#isCallerPaused) return;
    this.#isCallerPaused = false;
    this.#call.resume();
  }

  /** Gives the caller what has come, as long as it takes it; the server may send as much again. */
  #deliver(): void {
    try {
      while (!(this.#isHeld || this.#isInflating || this.#isDone)) {
        const message = this.#reader.next();
        if (message === undefined) break;
        this.#take(message);
      }
    } catch (thrown) {
      this.#fail(statusOf(thrown));
      return;
    }
    if (this.#isDone) return;
    this.#consume(this.#reader.takeConsumedBytes());
    if (this.#isHeld || this.#isInflating || this.#outcome === undefined) return;
    this.#finish(this.#outcome);
  }

  #take(message: Uint8Array): void {
    this.#answers += 1;
    if (this.#isOneAnswer && this.#answers > 1) {
      throw new StatusError(Code.INTERNAL, `${this.#call.path} answered more than once`);
    }
    if (!this.#reader.isCompressed) {
      this.#isHeld = !this.#call.send(message);
      return;
    }
    checkMayBeCompressed(this.#head?.encoding ?? 'identity');
    const { maxMessageBytes } = this.carrier;
    const inflated = inflateNow(message, maxMessageBytes);
    if (inflated !== undefined) {
      this.#isHeld = !this.#call.send(inflated);
      return;
    }
    this.#isInflating = true;
    inflateLater(message, maxMessageBytes, (result) => {
      this.#isInflating = false;
      if (this.#isDone) return;
      if (result instanceof StatusError) {
        this.#fail(result);
        return;
      }
      this.#isHeld = !this.#call.send(result);
      this.#deliver();
    });
  }

  #consume(bytes: number): void {
    const [stream, link] = [this.#stream, this.link];
    if (bytes === 0 || stream === undefined || link === undefined) return;
    link.connection.consume(stream, bytes);
    link.wake();
  }

  #end(outcome: Outcome): void {
    this.#outcome = outcome;
    if (this.#stream !== undefined) this.link?.resetUnsent(this.#stream);
    this.#deliver();
  }

  #finish(outcome: Outcome): void {
    this.#isDone = true;
    const { error, trailers } = outcome;
    if (error !== undefined) {
      this.#call.fail(error, trailers);
      return;
    }
    try {
      this.#reader.end();
    } catch (thrown) {
      this.#call.fail(statusOf(thrown));
      return;
    }
    if (this.#isOneAnswer && this.#answers === 0) {
      const text = `${this.#call.path} answered OK without a message`;
      this.#call.fail(new StatusError(Code.INTERNAL, text));
    } else this.#call.end(trailers);
  }

  /** Ends the call from this side. */
  #fail(error: StatusError): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#early = [];
    if (this.#stream === undefined) this.carrier.forget(this);
    else this.link?.reset(this.#stream, ErrorCode.CANCEL);
    this.#call.fail(error);
  }
}
