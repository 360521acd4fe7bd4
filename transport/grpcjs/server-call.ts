// One call as it comes in through grpc-js, in the form that a Backend knows. It drives grpc-js's
// call below its Node streams, so that the flow of messages is the callee's to pause.
import type { Metadata as GrpcMetadata, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { toBuffer } from '../../common/bytes.ts';
import { systemClock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import { Code, StatusError, statusOf } from '../../common/status.ts';
import type { Backend, Metadata, MethodKind, StreamCall, UnaryCall } from '../backend.ts';
import { NO_METADATA } from '../backend.ts';
import { messageTooLarge } from '../grpc/message-prefix.ts';
import { wireMessage } from '../grpc/status-message.ts';
import { STREAM_BUFFER_BYTES } from './channel-options.ts';
import { fromGrpcMetadata, toGrpcMetadata } from './metadata.ts';

export interface ServerCallEnvironment {
  readonly backend: Backend;
  readonly maxMessageBytes: number;
  readonly defaultDeadlineMs: number;
  readonly log: Log;
  /** Calls that are not yet answered. */
  readonly open: Set<ServerCall>;
}

/** '10.0.0.1:80' is 'ipv4:10.0.0.1:80', '::1:80' is 'ipv6:[::1]:80'. */
function peerName(peer: string): string {
  const port = peer.lastIndexOf(':');
  const host = peer.slice(0, port);
  return host.includes(':') ? `ipv6:[${host}]${peer.slice(port)}` : `ipv4:${peer}`;
}

export class ServerCall implements UnaryCall, StreamCall {
  readonly path: string;
  readonly kind: MethodKind;
  deadlineMs = Number.POSITIVE_INFINITY;
  isCancelled = false;
  onCancel: (() => void) | undefined;
  onMessage: ((message: Uint8Array) => void) | undefined;
  onHalfClose: (() => void) | undefined;
  onDrain: (() => void) | undefined;
  answerMetadata: Metadata = NO_METADATA;

  readonly #call: ServerInterceptingCallInterface;
  readonly #environment: ServerCallEnvironment;
  #grpcMetadata: GrpcMetadata | undefined;
  #metadata: Metadata | undefined;
  #request: Uint8Array | undefined;
  #isAnswered = false;
  #stopDeadline: (() => void) | undefined;
  #isPaused = false;
  #isReading = false;
  #wantsRead = false;
  #hasRead = true;
  #unsentBytes = 0;
  #wantsDrain = false;
  #hasHead = false;

  constructor(
    call: ServerInterceptingCallInterface,
    path: string,
    kind: MethodKind,
    environment: ServerCallEnvironment,
  ) {
    this.#call = call;
    this.path = path;
    this.kind = kind;
    this.#environment = environment;
  }

  start(): void {
    this.#environment.open.add(this);
    this.#call.start({
      onReceiveMetadata: (metadata) => this.#begin(metadata),
      onReceiveMessage: (message: Uint8Array) => this.#receive(message),
      onReceiveHalfClose: () => this.#halfClose(),
      onCancel: () => this.#cancel(),
    });
  }

  get request(): Uint8Array {
    if (this.#request === undefined) throw new Error(`${this.path}: a stream has no one request`);
    return this.#request;
  }

  get metadata(): Metadata {
    if (this.#metadata === undefined) {
      const received = this.#grpcMetadata;
      this.#metadata = received === undefined ? NO_METADATA : fromGrpcMetadata(received);
    }
    return this.#metadata;
  }

  get peer(): string {
    return peerName(this.#call.getPeer());
  }

  succeed(response: Uint8Array, trailers?: Metadata): void {
    if (this.#isAnswered) return;
    if (response.byteLength > this.#environment.maxMessageBytes) {
      this.fail(messageTooLarge(response.byteLength, this.#environment.maxMessageBytes), trailers);
      return;
    }
    this.#sendHead();
    this.#call.sendMessage(toBuffer(response), ignore);
    this.#answer(Code.OK, '', trailers);
  }

  end(trailers?: Metadata): void {
    this.#answer(Code.OK, '', trailers);
  }

  fail(error: StatusError, trailers?: Metadata): void {
    this.#answer(error.code, error.message, trailers);
  }

  send(message: Uint8Array): boolean {
    if (this.#isAnswered) return false;
    const sizeBytes = message.byteLength;
    if (sizeBytes > this.#environment.maxMessageBytes) {
      this.fail(messageTooLarge(sizeBytes, this.#environment.maxMessageBytes));
      return false;
    }
    this.#unsentBytes += sizeBytes;
    this.#sendHead();
    this.#call.sendMessage(toBuffer(message), () => this.#sent(sizeBytes));
    if (this.#unsentBytes < STREAM_BUFFER_BYTES) return true;
    this.#wantsDrain = true;
    return false;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#hasRead) this.#read();
  }

  #begin(metadata: GrpcMetadata): void {
    this.#grpcMetadata = metadata;
    this.#setDeadline();
    if (this.kind !== 'unary') this.#run(() => this.#environment.backend.stream(this));
    if (!this.#isPaused) this.#read();
  }

  /** A deadline that came with the call is enforced by grpc-js; the default one is ours. */
  #setDeadline(): void {
    const deadline = this.#call.getDeadline();
    const epochMs = deadline instanceof Date ? deadline.getTime() : deadline;
    const nowMs = systemClock.nowMs();
    if (epochMs !== Number.POSITIVE_INFINITY) {
      this.deadlineMs = nowMs + (epochMs - Date.now());
    } else if (this.kind === 'unary') {
      const limitMs = this.#environment.defaultDeadlineMs;
      this.deadlineMs = nowMs + limitMs;
      this.#stopDeadline = systemClock.after(limitMs, () => {
        const text = `call named no deadline and took longer than ${limitMs} ms`;
        this.#end(Code.DEADLINE_EXCEEDED, text);
      });
    }
  }

  /**
   * Asks for one message. grpc-js may give it inside the call: a loop, so that depth stays flat.
   */
  #read(): void {
    this.#hasRead = false;
    this.#wantsRead = true;
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#wantsRead && !this.#isAnswered) {
      this.#wantsRead = false;
      this.#call.startRead();
    }
    this.#isReading = false;
  }

  #receive(message: Uint8Array): void {
    if (this.#isAnswered) return;
    this.#hasRead = true;
    if (this.kind !== 'unary') {
      this.#run(() => this.onMessage?.(message));
      if (!this.#isPaused) this.#read();
    } else if (this.#request === undefined) {
      this.#request = message;
      this.#read();
    } else {
      this.fail(new StatusError(Code.UNIMPLEMENTED, `${this.path} takes one request, got more`));
    }
  }

  #halfClose(): void {
    if (this.#isAnswered) return;
    if (this.kind !== 'unary') {
      this.#run(() => this.onHalfClose?.());
    } else if (this.#request === undefined) {
      this.fail(new StatusError(Code.UNIMPLEMENTED, `${this.path} takes one request, got none`));
    } else {
      this.#run(() => this.#environment.backend.unary(this));
    }
  }

  /**
   * Backends never throw; if one does all the same, its caller hears of it and the process stays.
   */
  #run(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.#environment.log.error({ err: thrown, path: this.path }, 'backend threw');
      this.fail(statusOf(thrown));
    }
  }

  #sent(sizeBytes: number): void {
    this.#unsentBytes -= sizeBytes;
    if (!this.#wantsDrain || this.#unsentBytes >= STREAM_BUFFER_BYTES / 2) return;
    this.#wantsDrain = false;
    if (!this.#isAnswered) this.#run(() => this.onDrain?.());
  }

  #answer(code: Code, message: string, trailers: Metadata = NO_METADATA): void {
    if (this.#isAnswered) return;
    this.#sendHead();
    this.#close();
    let metadata: GrpcMetadata | null = null;
    try {
      if (trailers.length > 0) metadata = toGrpcMetadata(trailers);
    } catch (thrown) {
      const why = statusOf(thrown).message;
      const text = `${this.path} answered with metadata that is not allowed: ${why}`;
      this.#environment.log.error(text);
      this.#call.sendStatus({ code: Code.INTERNAL, details: wireMessage(text), metadata });
      return;
    }
    this.#call.sendStatus({ code, details: wireMessage(message), metadata });
  }

  /** Metadata that can't be sent is left out; without any, grpc-js sends the head by itself. */
  #sendHead(): void {
    if (this.#hasHead) return;
    this.#hasHead = true;
    if (this.answerMetadata.length === 0) return;
    try {
      this.#call.sendMetadata(toGrpcMetadata(this.answerMetadata));
    } catch (thrown) {
      this.#environment.log.error({ err: thrown, path: this.path }, 'metadata not allowed');
    }
  }

  /** Ends a call from this side, against the will of the callee, which hears of it. */
  #end(code: Code, message: string): void {
    const tell = this.onCancel;
    this.#answer(code, message);
    this.isCancelled = true;
    tell?.();
  }

  /** The process is going: a stream would hold it open. */
  shutDown(): void {
    if (!this.#isAnswered) this.#end(Code.UNAVAILABLE, 'server is shutting down');
  }

  #cancel(): void {
    if (this.#isAnswered) return;
    this.#close();
    this.isCancelled = true;
    this.onCancel?.();
  }

  #close(): void {
    this.#isAnswered = true;
    this.#environment.open.delete(this);
    this.#stopDeadline?.();
  }
}

const ignore = (): void => {};
