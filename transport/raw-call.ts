// A call whose bytes are passed on as they are: for who stands between a caller and a node. The
// content is gRPC's length-prefixed messages, compressed or not; nobody has looked into it. Both
// ends are here: a RawBackend is given the calls that a listener takes, a RawOpener begins calls on
// a connection. Flow control goes through: what isn't consumed at one end isn't sent at the other,
// so that of each call no more than a window is ever held.
import type { StatusError } from '../common/status.ts';
import type { Metadata, MethodKind } from './backend.ts';
import type { HeaderField } from './http2/hpack/header-field.ts';

/** Fields of a request that each hop writes anew, or that say nothing on the next one. */
const OF_A_HOP = new Set([
  'connection',
  'content-length',
  'grpc-timeout',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Those of a request's header fields that are passed on, as they are. */
export function fieldsToPassOn(fields: readonly HeaderField[]): readonly HeaderField[] {
  return fields.filter(({ name }) => !(name.startsWith(':') || OF_A_HOP.has(name)));
}

/**
 * The end of a call at a listener. It may be used from any moment on, within the listener's calls
 * or not; once the call is answered whole, or its caller gone, nothing happens any more.
 */
export interface RawCall {
  /** '/package.Service/Method' */
  readonly path: string;
  /**
   * What came with the call and is to be passed on (fieldsToPassOn): metadata, content-type,
   * grpc-encoding, grpc-accept-encoding, user-agent. Callers send the same head again and again:
   * then this is the same array again, for which what was worked out of it can be kept.
   */
  readonly fields: readonly HeaderField[];
  /** The metadata among the fields, decoded. */
  readonly metadata: Metadata;
  /**
   * Moment on the performance.now() clock of this thread; the default one of unary calls has been
   * put in, Infinity for a stream without. When it passes, the listener answers DEADLINE_EXCEEDED
   * and tells onCallerGone().
   */
  readonly deadlineMs: number;
  /** When what the callee is being told of came in, on the clock of the deadline. */
  readonly nowMs: number;
  /** Whom to name in a log: 'ipv4:127.0.0.1:5000'. */
  readonly peer: string;
  /** The caller may send so many bytes more. At most as many as onRequestData() has told. */
  consumeRequest(bytes: number): void;
  /**
   * The answer's header fields, ':status' first, as they came from the other side.
   * @param isEnd nothing follows: they are trailers too (gRPC's Trailers-Only).
   */
  sendHeaders(fields: readonly HeaderField[], isEnd: boolean): void;
  /**
   * bytes[start, end), or all of them. False: wait for onAnswerWritable(). Unless in READ_BUFFER,
   * they must stay as they are until they have left.
   */
  sendData(bytes: Uint8Array, start?: number, end?: number): boolean;
  /** Ends the call, behind its data. */
  sendTrailers(fields: readonly HeaderField[]): void;
  /** Answers with one whole message and OK. Only where nothing was sent before. */
  succeed(message: Uint8Array, trailers?: Metadata): void;
  /** Ends the call with this status, behind whatever was sent before. */
  fail(error: StatusError, trailers?: Metadata): void;
  /** RST_STREAM: the answer broke off and can't be ended. @param code of RFC 9113, 7 */
  reset(code: number): void;
}

/** Who answers a RawCall hears this of its caller, from within the listener's receiving. */
export interface RawCallee {
  /**
   * Content of the request: bytes[start, end), which stay as they are while held. The last one has
   * isEnd set, and may be empty. Until consumeRequest() the caller sends a window at most.
   */
  onRequestData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void;
  /**
   * The caller is gone, or its deadline has passed, or the listener ends: no answer arrives any
   * more. Comes once at most, and never after the call was answered whole.
   * @param code of RFC 9113, 7: CANCEL when the caller cancelled
   */
  onCallerGone(code: number, why: string): void;
  /** There is room again after a sendData() that gave false. */
  onAnswerWritable(): void;
}

/** Takes calls at their head, beside the Backend of a listener. */
export interface RawBackend {
  /** The paths that it takes; all others go to the Backend. */
  readonly rawMethods: ReadonlyMap<string, MethodKind>;
  /**
   * Never throws. Who comes back hears of the call from now on; undefined: it was answered here
   * and then.
   */
  raw(call: RawCall): RawCallee | undefined;
}

/** The end of a call at the connection that it was sent on. */
export interface RawRequest {
  /** False: wait for onRequestWritable(). The bytes must stay as they are until they have left. */
  sendData(bytes: Uint8Array, isEnd: boolean): boolean;
  /** The other side may send so many bytes more. At most as many as onAnswerData() has told. */
  consumeAnswer(bytes: number): void;
  /** RST_STREAM; nothing is heard of the call any more. @param code of RFC 9113, 7 */
  reset(code: number): void;
  /** When what the caller is being told of came in, on the performance.now() clock. */
  readonly nowMs: number;
}

/** Who sent a RawRequest hears this of its answer, never from within RawOpener.open(). */
export interface RawCaller {
  /**
   * The answer's header fields, ':status' first; no 1xx.
   * @param isEnd nothing follows: they are trailers too.
   */
  onAnswerHeaders(fields: readonly HeaderField[], isEnd: boolean): void;
  /**
   * Content: bytes[start, end). RawCall.sendData() may be given the same three; who keeps them
   * otherwise, beyond this call, asks lasting() for them.
   */
  onAnswerData(bytes: Uint8Array, start: number, end: number): void;
  /** The answer is whole; fields is empty when the other side ended it without trailers. */
  onAnswerTrailers(fields: readonly HeaderField[]): void;
  /**
   * The answer never comes, or broke off: reset by the other side, connection lost, or never made.
   * Comes once at most, and never behind the answer's end.
   * @param code of RFC 9113, 7
   * @param isUnprocessed no handler has surely seen the call: it may be sent again elsewhere.
   * @param isConnection the connection was lost, not this call alone.
   */
  onAnswerLost(code: number, isUnprocessed: boolean, why: string, isConnection: boolean): void;
  /** There is room again after a sendData() that gave false. */
  onRequestWritable(): void;
}

/** Begins calls on a connection to another process. */
export interface RawOpener {
  /**
   * Sends the head: pseudo-header fields, te, `fields` as they are, and the time that is left until
   * `deadlineMs` as grpc-timeout (none for Infinity). The deadline is not kept here: who took the
   * call keeps it. The same array of fields again costs less than a new one. A connection that
   * isn't there yet holds the call, bounded, until it is.
   * @param nowMs on the clock of the deadline, where it is known: reading it costs something
   */
  open(
    path: string,
    fields: readonly HeaderField[],
    deadlineMs: number,
    caller: RawCaller,
    nowMs?: number,
  ): RawRequest;
}
