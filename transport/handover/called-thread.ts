// The other end of calling-thread.ts: gives calls that come over a port to the Backends of this
// thread, and sends back what they answer.
import type { MessagePort } from 'node:worker_threads';
import { Code, StatusError, statusOf } from '../../common/status.ts';
import { tickEnd } from '../../common/tick-end.ts';
import {
  type Backend,
  type CallContext,
  type Metadata,
  type MethodKind,
  NO_METADATA,
  type StreamCall,
  type UnaryCall,
} from '../backend.ts';
import { unknownMethod } from '../service.ts';
import {
  FRAME,
  FrameReader,
  FrameSender,
  type FrameTaker,
  type HandedRoute,
  isFramePost,
} from './frames.ts';
import { sharedOffsetMs } from './shared-time.ts';
import { Inflow, Outflow } from './stream-flow.ts';

/** Answers of unary calls that the calling thread has not read yet; above it RESOURCE_EXHAUSTED. */
export const MAX_UNREAD_ANSWER_BYTES = 256 * 1024 * 1024;

const NO_BYTES = new Uint8Array(0);

export interface CalledThread {
  /** Cancels what is under way, closes the port. */
  close(): void;
}

/** @param backends by the names that the calling thread uses. They live as long as the port. */
export function serveThread(
  port: MessagePort,
  backends: ReadonlyMap<string, Backend>,
  maxUnreadAnswerBytes = MAX_UNREAD_ANSWER_BYTES,
): CalledThread {
  return new Called(port, backends, maxUnreadAnswerBytes);
}

/** Hears what the calling thread says of one of its calls. */
interface Taken {
  cancel(): void;
  message(bytes: Uint8Array): void;
  halfClose(): void;
  taken(sizeBytes: number): void;
}

class Called implements CalledThread, FrameTaker {
  readonly sender: FrameSender;
  readonly maxUnreadAnswerBytes: number;
  readonly #port: MessagePort;
  readonly #backends: ReadonlyMap<string, Backend>;
  readonly #reader = new FrameReader();
  readonly #calls = new Map<number, Taken>();
  readonly #offsetMs = sharedOffsetMs();
  #unreadBytes = 0;

  constructor(
    port: MessagePort,
    backends: ReadonlyMap<string, Backend>,
    maxUnreadAnswerBytes: number,
  ) {
    this.#port = port;
    this.#backends = backends;
    this.maxUnreadAnswerBytes = maxUnreadAnswerBytes;
    this.sender = new FrameSender(port, tickEnd.send);
    port.on('message', (message: unknown) => {
      if (isFramePost(message)) this.#reader.read(message, this);
    });
    port.on('close', () => this.#end());
  }

  close(): void {
    this.#port.close();
    this.#end();
  }

  take(
    kind: number,
    id: number,
    value: number,
    bytes: Uint8Array,
    metadata: Metadata,
    route: HandedRoute | undefined,
  ): void {
    if (kind === FRAME.UNARY || kind === FRAME.STREAM) {
      const path = route?.path ?? '';
      const context = { id, path, metadata, deadlineMs: value - this.#offsetMs };
      const backend = this.#backends.get(route?.target ?? '');
      if (kind === FRAME.UNARY) this.#runUnary(backend, context, bytes);
      else this.#runStream(backend, context);
    } else if (kind === FRAME.TAKEN && id === 0) this.#unreadBytes -= value;
    else {
      const call = this.#calls.get(id);
      if (kind === FRAME.CANCEL) call?.cancel();
      else if (kind === FRAME.MESSAGE) call?.message(bytes);
      else if (kind === FRAME.HALF_CLOSE) call?.halfClose();
      else if (kind === FRAME.TAKEN) call?.taken(value);
    }
  }

  /** False: too much is unread. */
  mayAnswer(sizeBytes: number): boolean {
    if (this.#unreadBytes + sizeBytes > this.maxUnreadAnswerBytes) return false;
    this.#unreadBytes += sizeBytes;
    return true;
  }

  remove(id: number): void {
    this.#calls.delete(id);
  }

  #runUnary(backend: Backend | undefined, context: Context, request: Uint8Array): void {
    const call = new TakenUnary(this, context, request);
    this.#calls.set(context.id, call);
    if (!answers(backend, context.path, (kind) => kind === 'unary')) {
      call.fail(unknownMethod(context.path));
      return;
    }
    try {
      backend.unary(call);
    } catch (thrown) {
      call.fail(statusOf(thrown, Code.INTERNAL));
    }
  }

  #runStream(backend: Backend | undefined, context: Context): void {
    const call = new TakenStream(this, context);
    this.#calls.set(context.id, call);
    if (!answers(backend, context.path, (kind) => kind !== 'unary')) {
      call.fail(unknownMethod(context.path));
      return;
    }
    call.guarded(() => backend.stream(call));
  }

  #end(): void {
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.cancel();
  }
}

function answers(
  backend: Backend | undefined,
  path: string,
  isKind: (kind: MethodKind) => boolean,
): backend is Backend {
  const kind = backend?.methods.get(path);
  return kind !== undefined && isKind(kind);
}

type Context = Pick<CallContext, 'path' | 'metadata' | 'deadlineMs'> & { readonly id: number };

abstract class TakenCall implements CallContext {
  readonly path: string;
  readonly metadata: Metadata;
  readonly deadlineMs: number;
  readonly peer = 'thread';
  isCancelled = false;
  onCancel: (() => void) | undefined = undefined;
  protected readonly called: Called;
  protected readonly id: number;
  protected isDone = false;
  #answerMetadata: Metadata = NO_METADATA;

  constructor(called: Called, { id, path, metadata, deadlineMs }: Context) {
    this.called = called;
    this.id = id;
    this.path = path;
    this.metadata = metadata;
    this.deadlineMs = deadlineMs;
  }

  get answerMetadata(): Metadata {
    return this.#answerMetadata;
  }

  set answerMetadata(metadata: Metadata) {
    this.#answerMetadata = metadata;
    if (this.isDone || metadata.length === 0) return;
    this.called.sender.send(FRAME.HEAD, this.id, 0, undefined, metadata);
  }

  fail(error: StatusError, trailers: Metadata = NO_METADATA): void {
    this.sendStatus(error.code, error.message, trailers);
  }

  cancel(): void {
    if (!this.finish()) return;
    this.isCancelled = true;
    this.onCancel?.();
  }

  protected sendStatus(code: Code, text: string, trailers: Metadata): void {
    if (!this.finish()) return;
    const bytes = text === '' ? NO_BYTES : Buffer.from(text);
    this.called.sender.send(FRAME.STATUS, this.id, code, bytes, trailers);
  }

  /** True the first time. */
  protected finish(): boolean {
    if (this.isDone) return false;
    this.isDone = true;
    this.called.remove(this.id);
    return true;
  }
}

class TakenUnary extends TakenCall implements UnaryCall, Taken {
  request: Uint8Array;

  constructor(called: Called, context: Context, request: Uint8Array) {
    super(called, context);
    this.request = request;
  }

  succeed(response: Uint8Array, trailers: Metadata = NO_METADATA): void {
    if (this.isDone) return;
    if (!this.called.mayAnswer(response.length)) {
      const { maxUnreadAnswerBytes } = this.called;
      const text = `answers of more than ${maxUnreadAnswerBytes} bytes wait for another thread`;
      this.fail(new StatusError(Code.RESOURCE_EXHAUSTED, text));
      return;
    }
    this.finish();
    this.called.sender.send(FRAME.ANSWER, this.id, 0, response, trailers);
  }

  protected override finish(): boolean {
    this.request = NO_BYTES;
    return super.finish();
  }

  message(): void {}

  halfClose(): void {}

  taken(): void {}
}

class TakenStream extends TakenCall implements StreamCall, Taken {
  onMessage: ((message: Uint8Array) => void) | undefined = undefined;
  onHalfClose: (() => void) | undefined = undefined;
  onDrain: (() => void) | undefined = undefined;
  readonly #out = new Outflow();
  readonly #in: Inflow;

  constructor(called: Called, context: Context) {
    super(called, context);
    this.#in = new Inflow({
      give: (message) => {
        this.guarded(() => this.onMessage?.(message));
        return true;
      },
      end: () => this.guarded(() => this.onHalfClose?.()),
      taken: (sizeBytes) => {
        if (!this.isDone) called.sender.send(FRAME.TAKEN, this.id, sizeBytes);
      },
    });
  }

  send(message: Uint8Array): boolean {
    if (this.isDone) return false;
    this.called.sender.send(FRAME.MESSAGE, this.id, 0, message);
    return this.#out.sent(message);
  }

  end(trailers: Metadata = NO_METADATA): void {
    this.sendStatus(Code.OK, '', trailers);
  }

  pause(): void {
    this.#in.hold();
  }

  resume(): void {
    this.#in.go();
  }

  message(bytes: Uint8Array): void {
    this.#in.push(bytes);
  }

  halfClose(): void {
    this.#in.end();
  }

  taken(sizeBytes: number): void {
    if (this.#out.taken(sizeBytes)) this.guarded(() => this.onDrain?.());
  }

  /** What a handler throws ends its call. */
  guarded(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.fail(statusOf(thrown, Code.INTERNAL));
    }
  }

  protected override finish(): boolean {
    this.#in.drop();
    return super.finish();
  }
}
