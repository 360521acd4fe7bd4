// One request and its one answer. Almost always the answer is a head, one frame with the message,
// and trailers: that way nothing is made for it but a view of the message.
import { Code, StatusError, statusOf } from '../../common/status.ts';
import type { UnaryCall } from '../backend.ts';
import { checkMayBeCompressed } from '../grpc/encoding.ts';
import { inflateLater, inflateNow } from '../grpc/gzip.ts';
import { PREFIX_BYTES, writePrefix } from '../grpc/message-prefix.ts';
import { MessageReader } from '../grpc/message-reader.ts';
import type { Outcome } from '../grpc/status-fields.ts';
import { readUint32 } from '../http2/frames/frame-shape.ts';
import { lasting } from '../read-memory.ts';
import { Answered } from './answered.ts';
import type { Link } from './link.ts';
import type { Carrier } from './outgoing.ts';

/** Copied into the frame at once, so that one is enough. */
const PREFIX = new Uint8Array(PREFIX_BYTES);
const NO_BYTES = new Uint8Array(0);
export class OutgoingUnary extends Answered<UnaryCall> {
  #message: Uint8Array | undefined;
  #isCompressed = false;
  /** For answers that don't come in one frame. */
  #reader: MessageReader | undefined;

  constructor(carrier: Carrier, call: UnaryCall) {
    super(carrier, call, call.request.length);
  }

  start(link: Link, nowMs: number): boolean {
    const stream = this.open(link, nowMs);
    if (stream === undefined) return false;
    const { request } = this.call;
    writePrefix(PREFIX, 0, request.length);
    link.connection.sendPrefixed(stream, PREFIX, request, true);
    return true;
  }

  onData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    if (this.isDone) return;
    if (this.stream !== undefined) this.link?.connection.consume(this.stream, end - start);
    if (this.#isWhole(bytes, start, end)) {
      this.#message = lasting(bytes, start + PREFIX_BYTES, end);
    } else {
      try {
        this.#read(bytes, start, end);
      } catch (thrown) {
        this.failHere(statusOf(thrown));
        return;
      }
    }
    if (isEnd) this.endedBare();
  }

  onWritable(): void {}

  /** The frame is one message, not compressed, and nothing else. */
  #isWhole(bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start - PREFIX_BYTES;
    return (
      length >= 0 &&
      this.#message === undefined &&
      this.#reader === undefined &&
      bytes[start] === 0 &&
      length === readUint32(bytes, start + 1) &&
      length <= this.carrier.maxMessageBytes
    );
  }

  #read(bytes: Uint8Array, start: number, end: number): void {
    this.#reader ??= new MessageReader(this.carrier.maxMessageBytes);
    this.#reader.push(bytes, start, end);
    for (;;) {
      const message = this.#reader.next();
      if (message === undefined) return;
      if (this.#message !== undefined) {
        throw new StatusError(Code.INTERNAL, `${this.call.path} answered more than once`);
      }
      this.#message = message;
      this.#isCompressed = this.#reader.isCompressed;
      if (this.#isCompressed) checkMayBeCompressed(this.head?.encoding ?? 'identity');
    }
  }

  protected override ended(outcome: Outcome): void {
    if (this.isDone) return;
    const { error } = outcome;
    try {
      if (error === undefined) {
        this.#reader?.end();
        if (this.#isCompressed) {
          this.#inflate(outcome);
          return;
        }
      }
    } catch (thrown) {
      this.#finish();
      this.call.fail(statusOf(thrown));
      return;
    }
    this.#finish();
    if (error !== undefined) this.call.fail(error, outcome.trailers);
    else if (this.#message === undefined) {
      const text = `${this.call.path} answered OK without a message`;
      this.call.fail(new StatusError(Code.INTERNAL, text));
    } else this.call.succeed(this.#message, outcome.trailers);
  }

  #inflate(outcome: Outcome): void {
    const { maxMessageBytes } = this.carrier;
    const message = this.#message ?? NO_BYTES;
    const inflated = inflateNow(message, maxMessageBytes);
    this.#isCompressed = false;
    if (inflated !== undefined) {
      this.#message = inflated;
      this.ended(outcome);
      return;
    }
    inflateLater(message, maxMessageBytes, (result) => {
      if (this.isDone) return;
      if (result instanceof StatusError) this.failHere(result);
      else {
        this.#message = result;
        this.ended(outcome);
      }
    });
  }

  /** A server that answers before it has the whole request needs no more of it. */
  #finish(): void {
    this.isDone = true;
    if (this.stream !== undefined) this.link?.resetUnsent(this.stream);
  }
}
