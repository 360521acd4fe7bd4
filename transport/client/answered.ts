// What calls that look into their answers have in common, one answer or many: how head, trailers
// and losses become the outcome that their caller is told.
import { Code, StatusError } from '../../common/status.ts';
import type { CallContext, Metadata } from '../backend.ts';
import type { Outcome } from '../grpc/status-fields.ts';
import type { Stream } from '../http2/connection/stream.ts';
import { ErrorCode } from '../http2/frames/constants.ts';
import { HeaderList } from '../http2/hpack/header-list.ts';
import type { Link } from './link.ts';
import { type Carrier, expired, lossOf, Outgoing } from './outgoing.ts';
import { outcomeOf, type ResponseHead, responseHead } from './response-head.ts';

/** Of an answer whose content ended the stream. */
const NO_TRAILERS = new HeaderList([], 0, undefined);

/** Both UnaryCall and StreamCall. */
export interface AnsweredCall extends CallContext {
  fail(error: StatusError, trailers?: Metadata): void;
}

export abstract class Answered<T extends AnsweredCall> extends Outgoing {
  protected readonly call: T;
  protected stream: Stream | undefined = undefined;
  protected head: ResponseHead | undefined = undefined;
  /** The caller has been told how it ended. */
  protected isDone = false;

  constructor(carrier: Carrier, call: T, sizeBytes: number) {
    super(carrier, call.deadlineMs, sizeBytes);
    this.call = call;
    call.onCancel = () => this.failHere(new StatusError(Code.CANCELLED, 'caller cancelled'));
  }

  /** The answer has ended so. */
  protected abstract ended(outcome: Outcome): void;

  /** Undefined: there is no room on `link`. */
  protected open(link: Link, nowMs: number): Stream | undefined {
    const { path, metadata } = this.call;
    const { connection, headers } = link;
    const varying = headers.varying(this.deadlineMs - nowMs, metadata);
    const stream = connection.openRepeated(headers.constant(path), varying, false);
    if (stream === undefined) return undefined;
    this.link = link;
    this.stream = stream;
    stream.context = this;
    return stream;
  }

  onHead(list: HeaderList, isEnd: boolean): void {
    const head = responseHead(list);
    this.head = head;
    if (isEnd && head.hasStatus) {
      this.ended(outcomeOf(list, head.httpStatus));
      return;
    }
    const error = head.error();
    if (error === undefined && head.metadata.length > 0) this.call.answerMetadata = head.metadata;
    if (error !== undefined) this.failHere(error);
    else if (isEnd) this.ended(outcomeOf(list, head.httpStatus));
  }

  onTrailers(list: HeaderList): void {
    if (!this.isDone) this.ended(outcomeOf(list, this.head?.httpStatus ?? 0));
  }

  /** The answer's content ended the stream. */
  protected endedBare(): void {
    this.ended(outcomeOf(NO_TRAILERS, this.head?.httpStatus ?? 0));
  }

  onLost(code: number, isUnprocessed: boolean, why: string, isConnection: boolean): void {
    if (this.isDone) return;
    this.isDone = true;
    const hasAnswer = this.head !== undefined;
    this.call.fail(lossOf(this.address, code, isUnprocessed, why, isConnection, hasAnswer));
  }

  refuse(error: StatusError): void {
    if (this.isDone) return;
    this.isDone = true;
    this.call.fail(error);
  }

  expire(): void {
    this.failHere(expired(this.call.path, this.address));
  }

  /** Ends the call from this side. */
  protected failHere(error: StatusError): void {
    if (this.isDone) return;
    this.isDone = true;
    if (this.stream === undefined) this.carrier.forget(this);
    else this.link?.reset(this.stream, ErrorCode.CANCEL);
    this.call.fail(error);
  }
}
