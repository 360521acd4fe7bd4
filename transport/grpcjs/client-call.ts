// Calls that go out through grpc-js: a call that came from anywhere is sent on over a channel, and
// what comes back answers it.
import type {
  ChannelInterface,
  Metadata as GrpcMetadata,
  InterceptingListener,
  StatusObject,
} from '@grpc/grpc-js';
import { toBuffer } from '../../common/bytes.ts';
import { Code, codeOf, StatusError, statusOf } from '../../common/status.ts';
import {
  type CallContext,
  ConnectionLost,
  type Metadata,
  type StreamCall,
  type UnaryCall,
} from '../backend.ts';
import { STREAM_BUFFER_BYTES } from './channel-options.ts';
import { fromGrpcMetadata, toGrpcMetadata } from './metadata.ts';

export type Outgoing = ReturnType<ChannelInterface['createCall']>;

/** grpc-js's deadlines are dates. */
function epochDeadline(deadlineMs: number): number {
  return Date.now() + (deadlineMs - performance.now());
}

/** Undefined: the call was answered already, with the reason why it can't be sent. */
function open(
  channel: ChannelInterface,
  address: string,
  call: CallContext & { fail(error: StatusError): void },
  listener: InterceptingListener,
): Outgoing | undefined {
  if (call.isCancelled) {
    call.fail(new StatusError(Code.CANCELLED, 'caller cancelled'));
    return undefined;
  }
  let metadata: GrpcMetadata;
  try {
    metadata = toGrpcMetadata(call.metadata);
  } catch (thrown) {
    call.fail(statusOf(thrown, Code.INVALID_ARGUMENT));
    return undefined;
  }
  try {
    const deadline = epochDeadline(call.deadlineMs);
    const outgoing = channel.createCall(call.path, deadline, null, null, null);
    call.onCancel = () => outgoing.cancelWithStatus(Code.CANCELLED, 'caller cancelled');
    outgoing.start(metadata, listener);
    return outgoing;
  } catch (cause) {
    call.fail(new ConnectionLost(`${address}: ${statusOf(cause).message}`, false, { cause }));
    return undefined;
  }
}

/** Codes that grpc-js makes up itself for connections that fail, with these beginnings. */
const LOST = ['Received RST_STREAM', 'Failed to start HTTP/2 stream', 'Call cancelled'];
/** Of those and UNAVAILABLE ones: the call did not reach a handler. */
const NOT_SENT = [
  'Channel closed before call started',
  'Failed to start HTTP/2 stream',
  'No connection established',
  'Name resolution failed',
  'Stream refused by server',
];

/**
 * The error of a status. One that the server wrote has come with headers: either headers before it
 * (`hasHeaders`), or in the same block, where content-type stands. Any other was made by grpc-js.
 */
export function errorOf(status: StatusObject, hasHeaders: boolean, address: string): StatusError {
  const isFromServer = hasHeaders || status.metadata.get('content-type').length > 0;
  const isLost =
    status.code === Code.UNAVAILABLE || LOST.some((text) => status.details.startsWith(text));
  if (!isFromServer && isLost) {
    const wasSent = !NOT_SENT.some((text) => status.details.startsWith(text));
    return new ConnectionLost(`${address}: ${status.details}`, wasSent);
  }
  return new StatusError(codeOf(status.code), status.details);
}

function trailersOf(status: StatusObject): Metadata {
  return fromGrpcMetadata(status.metadata);
}

export function sendUnary(channel: ChannelInterface, address: string, call: UnaryCall): void {
  let response: Uint8Array | undefined;
  let hasHeaders = false;
  const outgoing = open(channel, address, call, {
    onReceiveMetadata(headers) {
      hasHeaders = true;
      const metadata = fromGrpcMetadata(headers);
      if (metadata.length > 0) call.answerMetadata = metadata;
    },
    onReceiveMessage(message: Uint8Array) {
      if (response === undefined) response = message;
      else outgoing?.cancelWithStatus(Code.INTERNAL, `${call.path} answered more than once`);
      outgoing?.startRead();
    },
    onReceiveStatus(status) {
      if (status.code !== Code.OK) {
        call.fail(errorOf(status, hasHeaders, address), trailersOf(status));
      } else if (response === undefined) {
        call.fail(new StatusError(Code.INTERNAL, `${call.path} answered OK without a message`));
      } else {
        call.succeed(response, trailersOf(status));
      }
    },
  });
  if (outgoing === undefined) return;
  outgoing.startRead();
  outgoing.sendMessageWithContext({}, toBuffer(call.request));
  outgoing.halfClose();
}

/**
 * What the caller sends, one message at a time: grpc-js takes the next when it has taken the last.
 */
class Upstream {
  readonly #outgoing: Outgoing;
  readonly #call: StreamCall;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isSending = false;
  #isEnded = false;
  #isClosed = false;
  #isPaused = false;

  constructor(outgoing: Outgoing, call: StreamCall) {
    this.#outgoing = outgoing;
    this.#call = call;
  }

  push(message: Uint8Array): void {
    this.#queue.push(message);
    this.#queuedBytes += message.byteLength;
    if (this.#queuedBytes >= STREAM_BUFFER_BYTES && !this.#isPaused) {
      this.#isPaused = true;
      this.#call.pause();
    }
    this.#next();
  }

  end(): void {
    this.#isEnded = true;
    this.#next();
  }

  #next(): void {
    if (this.#isSending) return;
    const message = this.#queue.shift();
    if (message === undefined) {
      if (this.#isEnded && !this.#isClosed) {
        this.#isClosed = true;
        this.#outgoing.halfClose();
      }
      return;
    }
    this.#isSending = true;
    const callback = (): void => this.#taken(message.byteLength);
    this.#outgoing.sendMessageWithContext({ callback }, toBuffer(message));
  }

  #taken(sizeBytes: number): void {
    this.#isSending = false;
    this.#queuedBytes -= sizeBytes;
    if (this.#isPaused && this.#queuedBytes < STREAM_BUFFER_BYTES / 2) {
      this.#isPaused = false;
      this.#call.resume();
    }
    this.#next();
  }
}

export function sendStream(channel: ChannelInterface, address: string, call: StreamCall): void {
  let hasHeaders = false;
  const outgoing = open(channel, address, call, {
    onReceiveMetadata(headers) {
      hasHeaders = true;
      const metadata = fromGrpcMetadata(headers);
      if (metadata.length > 0) call.answerMetadata = metadata;
    },
    onReceiveMessage(message: Uint8Array) {
      if (call.send(message)) outgoing?.startRead();
    },
    onReceiveStatus(status) {
      if (status.code === Code.OK) call.end(trailersOf(status));
      else call.fail(errorOf(status, hasHeaders, address), trailersOf(status));
    },
  });
  if (outgoing === undefined) return;
  const upstream = new Upstream(outgoing, call);
  call.onMessage = (message) => upstream.push(message);
  call.onHalfClose = () => upstream.end();
  call.onDrain = () => outgoing.startRead();
  outgoing.startRead();
}
