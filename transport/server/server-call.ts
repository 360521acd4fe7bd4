// What calls of every shape have in common: whose they are, how long they may take, what they hold,
// and the ways in which they end. Whatever ends a call, it leaves nothing behind.
import { Code, StatusError, statusOf } from '../../common/status.ts';
import { type Metadata, NO_METADATA } from '../backend.ts';
import type { Connection } from '../http2/connection/connection.ts';
import { type HeadersToSend, Progress, type Stream } from '../http2/connection/stream.ts';
import { headFields, lastFields, onlyFields } from './answer-fields.ts';
import type { Due, Slot } from './deadline-wheel.ts';
import type { GrpcConnection } from './grpc-connection.ts';
import type { Route } from './route.ts';

export abstract class ServerCall implements Due {
  readonly deadlineMs: number;
  slot: Slot | undefined = undefined;
  nextDue: Due | undefined = undefined;
  previousDue: Due | undefined = undefined;
  isCancelled = false;
  onCancel: (() => void) | undefined = undefined;
  answerMetadata: Metadata = NO_METADATA;

  protected readonly served: GrpcConnection;
  protected readonly connection: Connection;
  protected readonly stream: Stream;
  protected readonly route: Route;
  /** From our side it is over; what comes in is let go of. */
  protected isAnswered = false;
  protected heldBytes = 0;

  constructor(served: GrpcConnection, stream: Stream, route: Route, deadlineMs: number) {
    this.served = served;
    this.connection = served.connection;
    this.stream = stream;
    this.route = route;
    this.deadlineMs = deadlineMs;
  }

  get path(): string {
    return this.route.head.path;
  }

  get metadata(): Metadata {
    return this.route.head.metadata;
  }

  get peer(): string {
    return this.served.peer;
  }

  /** Content, as in ConnectionHandler. */
  abstract onData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void;

  /** There is room again after data was queued. */
  onWritable(): void {}

  /** The stream is gone. */
  onGone(_code: number, _why: string): void {
    if (this.isAnswered) return;
    this.finish();
    this.cancel();
  }

  onDue(): void {
    if (this.isAnswered) return;
    const { timeoutMs } = this.route;
    const text =
      timeoutMs === undefined
        ? `call named no deadline and took longer than ${this.served.limits.defaultDeadlineMs} ms`
        : `the call's deadline of ${timeoutMs} ms has passed`;
    this.endAgainstWill(Code.DEADLINE_EXCEEDED, text);
  }

  /** The listener ends: nobody can wait for this any longer. */
  shutDown(): void {
    if (!this.isAnswered) this.endAgainstWill(Code.UNAVAILABLE, 'server is shutting down');
  }

  fail(error: StatusError, trailers: Metadata = NO_METADATA): void {
    if (this.isAnswered) return;
    this.finish();
    this.sendStatus(error.code, error.message, trailers);
  }

  /** Ends a call from this side, against the will of the callee, which hears of it. */
  protected endAgainstWill(code: Code, text: string): void {
    this.finish();
    this.sendStatus(code, text, NO_METADATA);
    this.cancel();
  }

  protected cancel(): void {
    this.isCancelled = true;
    try {
      this.onCancel?.();
    } catch (thrown) {
      this.complain(thrown);
    }
  }

  /** Takes `bytes` more into account; false: the call was ended, as there is no room for them. */
  protected hold(bytes: number): boolean {
    if (this.served.hold(bytes)) {
      this.heldBytes += bytes;
      return true;
    }
    const { requestBytes } = this.served.limits;
    const text = `more than the limit of ${requestBytes} bytes of requests wait: try again later`;
    this.endAgainstWill(Code.RESOURCE_EXHAUSTED, text);
    return false;
  }

  protected letGo(bytes: number): void {
    this.heldBytes -= bytes;
    this.served.letGo(bytes);
  }

  /** False: the call was failed, for an answer that is too large or has no room. */
  protected mayAnswer(answerBytes: number): boolean {
    const error = this.served.refusalOfAnswer(answerBytes);
    if (error === undefined) return true;
    this.fail(error);
    return false;
  }

  /** From here on nothing is answered but what the caller of this sends. */
  protected finish(): void {
    this.isAnswered = true;
    this.served.forget(this);
    if (this.heldBytes > 0) this.letGo(this.heldBytes);
  }

  /** Ends the stream with trailers, or with headers that say it all. */
  protected sendStatus(code: Code, message: string, trailers: Metadata): void {
    const { stream } = this;
    const last = lastFields(code, message, trailers, this.path, this.served.log);
    stream.isRestUnwanted = true;
    if (stream.sending === Progress.NONE) {
      if (this.answerMetadata.length === 0) {
        this.connection.sendHeaders(stream, onlyFields(last), true);
        this.served.sent();
        return;
      }
      this.connection.sendHeaders(stream, this.head(false), false);
    }
    this.connection.sendTrailers(stream, last);
    this.served.sent();
  }

  /** Metadata that can't be sent is left out. */
  protected head(isGzip: boolean): HeadersToSend {
    try {
      return headFields(isGzip, this.answerMetadata);
    } catch (thrown) {
      this.complain(thrown);
      return headFields(isGzip, NO_METADATA);
    }
  }

  /** Callees never throw; if one does all the same, its caller hears of it. */
  protected threw(thrown: unknown): void {
    this.complain(thrown);
    this.fail(statusOf(thrown));
  }

  protected complain(thrown: unknown): void {
    this.served.log.error({ err: thrown, path: this.path }, 'backend threw');
  }

  protected tooMany(got: string): void {
    this.fail(new StatusError(Code.UNIMPLEMENTED, `${this.path} takes one request, got ${got}`));
  }
}
