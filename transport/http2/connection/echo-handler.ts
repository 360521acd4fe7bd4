// The two ends of a simple protocol, for tests of connections: a server that sends every request's
// content and trailers back as they come, and a client that collects what comes back. Both keep to
// flow control: what can't be sent on is not consumed.
import { lasting } from '../../read-memory.ts';
import { prebuiltBlock } from '../hpack/encoder.ts';
import { headerField } from '../hpack/header-field.ts';
import type { HeaderList } from '../hpack/header-list.ts';
import type { Connection } from './connection.ts';
import type { ConnectionHandler } from './handler.ts';
import type { LimitName } from './limits.ts';
import { Progress, type Stream } from './stream.ts';

const HEAD = prebuiltBlock([
  headerField(':status', '200'),
  headerField('content-type', 'application/grpc'),
]);
const TRAILERS = prebuiltBlock([headerField('grpc-status', '0')]);
const HELLO = Buffer.from('hello');

abstract class QuietHandler implements ConnectionHandler {
  readonly limits: LimitName[] = [];
  failure: string | undefined;
  resets = 0;
  done = 0;

  abstract onHeaders(stream: Stream, headers: HeaderList, endStream: boolean): void;
  abstract onData(
    stream: Stream,
    bytes: Uint8Array,
    start: number,
    end: number,
    endStream: boolean,
  ): void;
  abstract onTrailers(stream: Stream, headers: HeaderList): void;

  onDone(_stream: Stream): void {
    this.done += 1;
  }
  onReset(_stream: Stream, _code: number, _isUnprocessed: boolean, _why: string): void {
    this.resets += 1;
  }
  onWritable(_stream: Stream): void {}
  onOpenable(): void {}
  onGoaway(_lastStreamId: number, _code: number, _debug: Uint8Array): void {}
  onPong(_bytes: Uint8Array, _at: number): void {}
  onLimit(name: LimitName): void {
    this.limits.push(name);
  }
  onFailed(_code: number, why: string): void {
    this.failure = why;
  }
}

/** A request without content is answered `hello`. */
export class EchoHandler extends QuietHandler {
  #connection: Connection | undefined;

  /** Right after the connection was made with this handler. */
  serve(connection: Connection): void {
    this.#connection = connection;
  }

  onHeaders(stream: Stream, _headers: HeaderList, endStream: boolean): void {
    this.#connection?.sendHeaders(stream, HEAD, false);
    if (!endStream) return;
    this.#connection?.sendData(stream, HELLO, false);
    this.#connection?.sendTrailers(stream, TRAILERS);
  }

  onData(stream: Stream, bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    if (connection.sendData(stream, lasting(bytes, start, end), false)) {
      connection.consume(stream, end - start);
    }
    if (isEnd) connection.sendTrailers(stream, TRAILERS);
  }

  override onWritable(stream: Stream): void {
    this.#connection?.consume(stream, stream.unconsumedBytes);
  }

  onTrailers(stream: Stream): void {
    if (stream.sending === Progress.OPEN) this.#connection?.sendTrailers(stream, TRAILERS);
  }
}

/** What came back on a stream of the client; it is the stream's context. */
export interface Answer {
  readonly chunks: Uint8Array[];
  headers: HeaderList | undefined;
  trailers: HeaderList | undefined;
}

/** Consumes what comes at once, or when told to. */
export class CollectHandler extends QuietHandler {
  readonly #answers = new Map<number, Answer>();
  readonly #consume: ((stream: Stream, bytes: number) => void) | undefined;
  readonly #onEnd: ((stream: Stream) => void) | undefined;

  /** @param consume is called for all that comes; without it nothing is consumed. */
  constructor(consume?: (stream: Stream, bytes: number) => void, onEnd?: (stream: Stream) => void) {
    super();
    this.#consume = consume;
    this.#onEnd = onEnd;
  }

  answerOf(stream: Stream): Answer {
    let answer = this.#answers.get(stream.id);
    if (answer === undefined) {
      answer = { chunks: [], headers: undefined, trailers: undefined };
      this.#answers.set(stream.id, answer);
    }
    return answer;
  }

  onHeaders(stream: Stream, headers: HeaderList): void {
    this.answerOf(stream).headers = headers;
  }

  onData(stream: Stream, bytes: Uint8Array, start: number, end: number): void {
    this.answerOf(stream).chunks.push(lasting(bytes, start, end));
    this.#consume?.(stream, end - start);
  }

  onTrailers(stream: Stream, headers: HeaderList): void {
    this.answerOf(stream).trailers = headers;
  }

  override onDone(stream: Stream): void {
    super.onDone(stream);
    this.#onEnd?.(stream);
  }

  override onReset(stream: Stream, code: number, isUnprocessed: boolean, why: string): void {
    super.onReset(stream, code, isUnprocessed, why);
    this.#onEnd?.(stream);
  }
}
