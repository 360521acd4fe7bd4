// One connection of a gRPC listener: makes calls of its streams, and tells them what becomes of
// these.
import type { Log } from '../../common/log.ts';
import { Code, StatusError, statusOf } from '../../common/status.ts';
import type { Backend } from '../backend.ts';
import { messageTooLarge, PREFIX_BYTES, writePrefix } from '../grpc/message-prefix.ts';
import type { Connection } from '../http2/connection/connection.ts';
import type { LimitName } from '../http2/connection/limits.ts';
import type { Stream } from '../http2/connection/stream.ts';
import { ErrorCode } from '../http2/frames/constants.ts';
import type { HeaderList } from '../http2/hpack/header-list.ts';
import type { ServedHandler } from '../http2/shell/connection-listener.ts';
import { failedAtOnce } from './answer-fields.ts';
import { ConnectionAge } from './connection-age.ts';
import type { Due } from './deadline-wheel.ts';
import type { Inflated } from './inflater.ts';
import { PassedCall } from './passed-call.ts';
import { RefusedRequest, refuse } from './refused-request.ts';
import { type Route, routeOf } from './route.ts';
import type { ServedListener } from './served-listener.ts';
import { ServerCall } from './server-call.ts';
import type { ServerLimits } from './server-limits.ts';
import { StreamServerCall } from './stream-call.ts';
import { UnaryServerCall } from './unary-call.ts';

/** Written anew for each message: what it is passed to copies it. */
const PREFIX = new Uint8Array(PREFIX_BYTES);
const NO_BYTES = new Uint8Array(0);
/** What inflates beyond the limit out of so much less is not a message that happens to be large. */
const BOMB_RATIO = 50;
const BOMB_FORGOTTEN_MS = 1_000;

export class GrpcConnection implements ServedHandler {
  readonly peer: string;
  readonly #listener: ServedListener;
  #connection: Connection | undefined = undefined;
  #wake: () => void = () => {};
  #age: ConnectionAge | undefined = undefined;
  /** What its calls hold of the listener's budgets. */
  #requestBytes = 0;
  #answerBytes = 0;
  /** Of these, past the streams' queues: in the output, and in the socket. */
  #unsentBytes = 0;
  #bombs = 0;
  #bombedMs = 0;

  constructor(listener: ServedListener, peer: string) {
    this.#listener = listener;
    this.peer = peer;
  }

  get connection(): Connection {
    if (this.#connection === undefined) throw new Error('a connection is served before it is used');
    return this.#connection;
  }

  get backend(): Backend {
    return this.#listener.backend;
  }

  get limits(): ServerLimits {
    return this.#listener.limits;
  }

  get log(): Log {
    return this.#listener.log;
  }

  serve(connection: Connection, wake: () => void): void {
    this.#connection = connection;
    this.#wake = wake;
    this.#listener.connections.add(this);
    if (this.limits.connectionAgeMs === Number.POSITIVE_INFINITY) return;
    this.#age = new ConnectionAge(this, this.#listener);
  }

  closed(): void {
    this.#listener.connections.delete(this);
    this.#age?.stop();
    this.#noteAnswers();
  }

  onUnsent(unsentBytes: number): void {
    this.#unsentBytes = unsentBytes;
    this.#noteAnswers();
  }

  /** Something was sent: it leaves with the rest of the tick. */
  wake(): void {
    this.#wake();
  }

  /** As wake(); what could not leave at once is taken into account. */
  sent(): void {
    this.#noteAnswers();
    this.#wake();
  }

  forget(entry: Due): void {
    this.#listener.forget(entry);
  }

  inflate(bytes: Uint8Array, isWanted: () => boolean, done: Inflated): void {
    this.#listener.inflater.inflate(bytes, isWanted, (result) => {
      done(result);
      const { messageBytes } = this.limits;
      const isTooLarge = result instanceof StatusError && result.code === Code.RESOURCE_EXHAUSTED;
      if (isTooLarge && bytes.length * BOMB_RATIO < messageBytes) this.#bombed();
    });
  }

  #bombed(): void {
    const { bombs } = this.limits;
    const nowMs = this.#listener.nowMs();
    this.#bombs = Math.max(0, this.#bombs - (nowMs - this.#bombedMs) / BOMB_FORGOTTEN_MS) + 1;
    this.#bombedMs = nowMs;
    if (this.#bombs <= bombs || this.connection.isFailed) return;
    this.#listener.onLimit('bombs');
    this.connection.fail(ErrorCode.ENHANCE_YOUR_CALM, 'more than the limit of bombs');
    this.#wake();
  }

  sendMessage(stream: Stream, message: Uint8Array, isCompressed: boolean): boolean {
    writePrefix(PREFIX, 0, message.length, isCompressed);
    return this.connection.sendPrefixed(stream, PREFIX, message, false);
  }

  /** False: there is no room for so many bytes more of requests. */
  hold(bytes: number): boolean {
    if (bytes === 0) return true;
    const { requests } = this.#listener;
    if (!requests.hasRoom(this.#requestBytes, bytes)) {
      this.#listener.onLimit('request_bytes');
      return false;
    }
    this.#requestBytes += bytes;
    requests.heldBytes += bytes;
    return true;
  }

  letGo(bytes: number): void {
    this.#requestBytes -= bytes;
    this.#listener.requests.heldBytes -= bytes;
  }

  /** Why an answer of that size can't be sent; undefined: it can. */
  refusalOfAnswer(answerBytes: number): StatusError | undefined {
    const { limits, answers } = this.#listener;
    if (answerBytes > limits.messageBytes) {
      this.#listener.onLimit('message_bytes');
      return messageTooLarge(answerBytes, limits.messageBytes);
    }
    if (answers.hasRoom(this.#answerBytes, answerBytes)) return undefined;
    this.#listener.onLimit('answer_bytes');
    const text = `more than the limit of ${answers.maxBytes} bytes of answers wait to be taken`;
    return new StatusError(Code.RESOURCE_EXHAUSTED, text);
  }

  /** What is wrong with a request's message, counted when it is its size. */
  refusalOfMessage(thrown: unknown): StatusError {
    const error = statusOf(thrown);
    if (error.code === Code.RESOURCE_EXHAUSTED) this.#listener.onLimit('message_bytes');
    return error;
  }

  /** Calls that are not over. */
  calls(): ServerCall[] {
    const calls: ServerCall[] = [];
    for (const { context } of this.connection.streams) {
      if (context instanceof ServerCall) calls.push(context);
    }
    return calls;
  }

  onHeaders(stream: Stream, headers: HeaderList, isEnd: boolean): void {
    const { backend, raw, limits } = this.#listener;
    const route = routeOf(headers, backend, raw);
    if (route.way === 'refused') {
      this.#refuse(stream, route, isEnd);
      return;
    }
    if (route.error !== undefined) {
      this.#fail(stream, route.error);
      return;
    }
    const { nowMs } = this.connection;
    const defaultMs = route.kind === 'unary' ? limits.defaultDeadlineMs : Number.POSITIVE_INFINITY;
    const deadlineMs = nowMs + (route.timeoutMs ?? defaultMs);
    if (deadlineMs <= nowMs) {
      this.#fail(stream, new StatusError(Code.DEADLINE_EXCEEDED, 'the deadline was over already'));
      return;
    }
    // Who stops waiting at about its own deadline, as a router does for its callers, does no wrong.
    const { timeoutMs = Number.POSITIVE_INFINITY } = route;
    stream.freeResetMs = Math.min(stream.freeResetMs, Math.ceil(nowMs + timeoutMs / 2));
    const call = this.#callOf(stream, route, deadlineMs);
    stream.context = call;
    this.#listener.await(call, nowMs);
    if (call instanceof StreamServerCall) call.start();
    else if (call instanceof PassedCall && raw !== undefined) call.start(raw);
    if (isEnd) call.onData(NO_BYTES, 0, 0, true);
  }

  onRefused(stream: Stream, headers: HeaderList, isEnd: boolean): void {
    this.onHeaders(stream, headers, isEnd);
  }

  onData(stream: Stream, bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    const call = stream.context;
    if (call instanceof ServerCall) call.onData(bytes, start, end, isEnd);
    else this.connection.consume(stream, end - start);
  }

  /** A request's trailers say nothing that gRPC knows of; they end it. */
  onTrailers(stream: Stream, _headers: HeaderList): void {
    const call = stream.context;
    if (call instanceof ServerCall) call.onData(NO_BYTES, 0, 0, true);
  }

  onWritable(stream: Stream): void {
    this.#noteAnswers();
    const call = stream.context;
    if (call instanceof ServerCall) call.onWritable();
  }

  onDone(stream: Stream): void {
    this.#noteAnswers();
    const { context } = stream;
    if (context instanceof RefusedRequest) this.forget(context);
  }

  onReset(stream: Stream, code: number, _isUnprocessed: boolean, why: string): void {
    this.#noteAnswers();
    const { context } = stream;
    if (context instanceof ServerCall) context.onGone(code, why);
    else if (context instanceof RefusedRequest) this.forget(context);
  }

  onLimit(name: LimitName): void {
    this.#listener.onLimit(name);
  }

  onFailed(code: number, why: string): void {
    if (code !== ErrorCode.NO_ERROR) this.log.debug({ peer: this.peer, reason: why }, 'cut off');
  }

  /** These are for clients. */
  onOpenable(): void {}
  onGoaway(_lastStreamId: number, _code: number, _debug: Uint8Array): void {}
  onPong(_bytes: Uint8Array, _at: number): void {}

  #callOf(stream: Stream, route: Route, deadlineMs: number): ServerCall {
    switch (route.way) {
      case 'unary':
        return new UnaryServerCall(this, stream, route, deadlineMs);
      case 'raw':
        return new PassedCall(this, stream, route, deadlineMs);
      default:
        return new StreamServerCall(this, stream, route, deadlineMs);
    }
  }

  #fail(stream: Stream, error: StatusError): void {
    stream.isRestUnwanted = true;
    this.connection.sendHeaders(stream, failedAtOnce(error), true);
    this.#wake();
  }

  #refuse(stream: Stream, route: Route, isEnd: boolean): void {
    refuse(this.connection, stream, route);
    this.#wake();
    if (isEnd) return;
    const lingering = new RefusedRequest(this.connection, stream, this.#wake);
    stream.context = lingering;
    this.#listener.await(lingering, this.connection.nowMs);
  }

  /** Takes changes of what waits to be taken by the caller into account. */
  #noteAnswers(): void {
    const answerBytes = this.connection.queuedBytes + this.#unsentBytes;
    const change = answerBytes - this.#answerBytes;
    if (change === 0) return;
    this.#answerBytes = answerBytes;
    this.#listener.answers.heldBytes += change;
  }
}
