// What a call is, apart from any transport: bytes in, bytes out, a status. Services and the
// router are written against this; shells (grpc-js today) carry it over a wire, and in one
// process it is simply called. Callbacks instead of promises: nothing is allocated per call
// beyond the call itself.
import { Code, StatusError } from '../common/status.ts';

/** Lower-case keys, in order, repeated keys allowed. Values of keys that end in -bin are bytes. */
export type Metadata = readonly (readonly [key: string, value: string | Uint8Array])[];

export const NO_METADATA: Metadata = [];

export type MethodKind = 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';

/** A unary call without a deadline gets this one (consequence: it ends with DEADLINE_EXCEEDED). */
export const DEFAULT_DEADLINE_MS = 60_000;

/**
 * Largest message, every hop, both ways. Above it: RESOURCE_EXHAUSTED, and the limit in the text.
 */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** What a call says of compression, and takes, where the wire lets one see it. */
export interface MessageCompression {
  /** Whether the request's message that came last was compressed. */
  readonly isRequestCompressed: boolean;
  /**
   * Whether answers are compressed from here on, for a caller that accepts it. The headers tell
   * that they may be: it has to be set, either way, before the first answer.
   */
  isAnswerCompressed: boolean;
}

export interface CallContext {
  /** '/package.Service/Method' */
  readonly path: string;
  readonly metadata: Metadata;
  /**
   * Moment on the performance.now() clock of this thread; the shell has put in the default of a
   * unary call. Infinity: a stream whose caller named none, it lives until one side ends it.
   */
  readonly deadlineMs: number;
  /** Whom to name in a log: 'ipv4:127.0.0.1:5000', or 'local'. */
  readonly peer: string;
  /** True once the caller has gone (cancelled, disconnected, past its deadline). */
  readonly isCancelled: boolean;
  /** Set by the callee to hear of that, once; never called after the call was answered. */
  onCancel: (() => void) | undefined;
  /** Undefined where nothing is known of it: messages are always given inflated. */
  readonly compression?: MessageCompression | undefined;
  /**
   * Goes ahead of the answers, in the headers: set by the callee before the first. Undefined where
   * the transport has no place for it.
   */
  answerMetadata?: Metadata;
}

/**
 * One request, one answer. Exactly one of succeed and fail is called, once; later ones are
 * ignored.
 */
export interface UnaryCall extends CallContext {
  /** The message, without gRPC's length prefix, inflated. Valid until the call is answered. */
  readonly request: Uint8Array;
  /** The transport owns `response` from here on. */
  succeed(response: Uint8Array, trailers?: Metadata): void;
  fail(error: StatusError, trailers?: Metadata): void;
}

/** Any other shape of call. The callee sets the on... slots before it returns. */
export interface StreamCall extends CallContext {
  onMessage: ((message: Uint8Array) => void) | undefined;
  /** The caller has sent all it will send. */
  onHalfClose: (() => void) | undefined;
  /** There is room again after a `send` that returned false. */
  onDrain: (() => void) | undefined;
  /**
   * The transport owns `message` from here on. False: the peer is slow (or gone), wait for onDrain
   * (or onCancel) before sending more.
   */
  send(message: Uint8Array): boolean;
  /** Ends the call with OK. */
  end(trailers?: Metadata): void;
  fail(error: StatusError, trailers?: Metadata): void;
  /**
   * Stops and restarts the flow of onMessage (flow control reaches the peer). One message that was
   * asked for already may still come after pause.
   */
  pause(): void;
  resume(): void;
}

/**
 * The other side could not be reached, or was lost before it answered anything. A handler's own
 * UNAVAILABLE is a plain StatusError.
 */
export class ConnectionLost extends StatusError {
  /**
   * False: the call certainly never reached a handler. True: only send it again if that is safe.
   */
  readonly mayHaveRun: boolean;

  constructor(message: string, mayHaveRun: boolean, options?: ErrorOptions) {
    super(Code.UNAVAILABLE, message, options);
    this.name = 'ConnectionLost';
    this.mayHaveRun = mayHaveRun;
  }
}

/** Something that answers calls: a node, the router, a connection to another process. */
export interface Backend {
  /** The methods it answers, by path. Shells answer UNIMPLEMENTED for any other. */
  readonly methods: ReadonlyMap<string, MethodKind>;
  /** Never throws: what goes wrong is told by call.fail. */
  unary(call: UnaryCall): void;
  /** Never throws. */
  stream(call: StreamCall): void;
}
