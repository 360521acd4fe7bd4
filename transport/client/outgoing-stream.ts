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
import { Answered } from './answered.ts';
import type { Link } from './link.ts';
import type { Carrier } from './outgoing.ts';

/** Copied into the frame at once, so that one is enough. */
const PREFIX = new Uint8Array(PREFIX_BYTES);
const NO_BYTES = new Uint8Array(0);
export class OutgoingStream extends Answered<StreamCall> {
  /** Whether the method answers with one message. */
  readonly #isOneAnswer: boolean;
  readonly #reader: MessageReader;
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

  constructor(carrier: Carrier, call: StreamCall, kind: MethodKind) {
    super(carrier, call, 0);
    this.#isOneAnswer = kind === 'client_stream' || kind === 'unary';
    this.#reader = new MessageReader(carrier.maxMessageBytes);
    call.onMessage = (message) => this.#send(message);
    call.onHalfClose = () => this.#halfClose();
    call.onDrain = () => {
      this.#isHeld = false;
      this.#deliver();
    };
  }

  start(link: Link, nowMs: number): boolean {
    const stream = this.open(link, nowMs);
    if (stream === undefined) return false;
    const early = this.#early;
    this.#early = [];
    let hasRoom = true;
    for (const message of early) hasRoom = this.#write(stream, link, message);
    if (this.#isHalfClosed) link.connection.sendData(stream, NO_BYTES, true);
    else if (hasRoom) this.#resumeCaller();
    return true;
  }

  onData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    if (this.isDone) return;
    this.#reader.push(bytes, start, end);
    if (isEnd) this.endedBare();
    else this.#deliver();
    this.#reader.keepRest();
  }

  override onLost(code: number, isUnprocessed: boolean, why: string, isConnection: boolean): void {
    // An answer that has come whole is given, whatever becomes of its connection.
    if (this.#outcome === undefined) super.onLost(code, isUnprocessed, why, isConnection);
  }

  onWritable(): void {
    if (!this.isDone) this.#resumeCaller();
  }

  #send(message: Uint8Array): void {
    if (this.isDone || this.#isHalfClosed) return;
    const { maxMessageBytes } = this.carrier;
    if (message.length > maxMessageBytes) {
      this.failHere(messageTooLarge(message.length, maxMessageBytes));
      return;
    }
    const [stream, link] = [this.stream, this.link];
    if (stream === undefined || link === undefined) this.#early.push(message);
    else if (this.#write(stream, link, message)) return;
    if (this.#isCallerPaused) return;
    this.#isCallerPaused = true;
    this.call.pause();
  }

  #write(stream: Stream, link: Link, message: Uint8Array): boolean {
    writePrefix(PREFIX, 0, message.length);
    const hasRoom = link.connection.sendPrefixed(stream, PREFIX, message, false);
    link.wake();
    return hasRoom;
  }

  #halfClose(): void {
    if (this.isDone || this.#isHalfClosed) return;
    this.#isHalfClosed = true;
    if (this.stream === undefined) return;
    this.link?.connection.sendData(this.stream, NO_BYTES, true);
    this.link?.wake();
  }

  #resumeCaller(): void {
    if (!this.#isCallerPaused) return;
    this.#isCallerPaused = false;
    this.call.resume();
  }

  /** Gives the caller what has come, as long as it takes it; the server may send as much again. */
  #deliver(): void {
    try {
      while (!(this.#isHeld || this.#isInflating || this.isDone)) {
        const message = this.#reader.next();
        if (message === undefined) break;
        this.#take(message);
      }
    } catch (thrown) {
      this.failHere(statusOf(thrown));
      return;
    }
    if (this.isDone) return;
    this.#consume(this.#reader.takeConsumedBytes());
    if (this.#isHeld || this.#isInflating || this.#outcome === undefined) return;
    this.#finish(this.#outcome);
  }

  #take(message: Uint8Array): void {
    this.#answers += 1;
    if (this.#isOneAnswer && this.#answers > 1) {
      throw new StatusError(Code.INTERNAL, `${this.call.path} answered more than once`);
    }
    if (!this.#reader.isCompressed) {
      this.#isHeld = !this.call.send(message);
      return;
    }
    checkMayBeCompressed(this.head?.encoding ?? 'identity');
    const { maxMessageBytes } = this.carrier;
    const inflated = inflateNow(message, maxMessageBytes);
    if (inflated !== undefined) {
      this.#isHeld = !this.call.send(inflated);
      return;
    }
    this.#isInflating = true;
    inflateLater(message, maxMessageBytes, (result) => {
      this.#isInflating = false;
      if (this.isDone) return;
      if (result instanceof StatusError) {
        this.failHere(result);
        return;
      }
      this.#isHeld = !this.call.send(result);
      this.#deliver();
    });
  }

  #consume(bytes: number): void {
    const [stream, link] = [this.stream, this.link];
    if (bytes === 0 || stream === undefined || link === undefined) return;
    link.connection.consume(stream, bytes);
    link.wake();
  }

  protected override ended(outcome: Outcome): void {
    this.#outcome = outcome;
    if (this.stream !== undefined) this.link?.resetUnsent(this.stream);
    this.#deliver();
  }

  #finish(outcome: Outcome): void {
    this.isDone = true;
    const { error, trailers } = outcome;
    if (error !== undefined) {
      this.call.fail(error, trailers);
      return;
    }
    try {
      this.#reader.end();
    } catch (thrown) {
      this.call.fail(statusOf(thrown));
      return;
    }
    if (this.#isOneAnswer && this.#answers === 0) {
      const text = `${this.call.path} answered OK without a message`;
      this.call.fail(new StatusError(Code.INTERNAL, text));
    } else this.call.end(trailers);
  }

  protected override failHere(error: StatusError): void {
    this.#early = [];
    super.failHere(error);
  }
}
