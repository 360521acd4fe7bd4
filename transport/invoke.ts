// Calling a Backend with promises, for callers off the hot path: admin clients, gateway, tests. It
// does for an in-process Backend what a shell does for a remote caller: deadline and cancellation.
import { systemClock } from '../common/clock.ts';
import { Code, StatusError, statusOf } from '../common/status.ts';
import {
  type Backend,
  DEFAULT_DEADLINE_MS,
  type Metadata,
  NO_METADATA,
  type StreamCall,
  type UnaryCall,
} from './backend.ts';
import { MessageQueue } from './message-queue.ts';

export interface InvokeOptions {
  /** From now. Unary calls default to DEFAULT_DEADLINE_MS, streams to none. */
  readonly timeoutMs?: number;
  readonly metadata?: Metadata;
  readonly signal?: AbortSignal;
  /** Hears what the callee's headers say, if it is anything, before its answers. */
  readonly onMetadata?: (metadata: Metadata) => void;
}

export interface UnaryAnswer {
  readonly response: Uint8Array;
  readonly trailers: Metadata;
  /** Of the headers, ahead of the answer. */
  readonly metadata: Metadata;
}

/** What ends a call from the caller's side. */
class Invocation {
  readonly metadata: Metadata;
  readonly deadlineMs: number;
  readonly peer = 'local';
  readonly path: string;
  isCancelled = false;
  onCancel: (() => void) | undefined;
  #isDone = false;
  readonly #stopTimer: (() => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.abandon(new StatusError(Code.CANCELLED, 'caller cancelled'));
  readonly #onAbandon: (error: StatusError) => void;
  readonly #onMetadata: ((metadata: Metadata) => void) | undefined;
  #answerMetadata: Metadata = NO_METADATA;

  constructor(
    path: string,
    timeoutMs: number,
    options: InvokeOptions,
    onAbandon: (error: StatusError) => void,
  ) {
    this.path = path;
    this.metadata = options.metadata ?? NO_METADATA;
    this.#onAbandon = onAbandon;
    this.#onMetadata = options.onMetadata;
    this.deadlineMs = systemClock.nowMs() + timeoutMs;
    if (timeoutMs !== Number.POSITIVE_INFINITY) {
      this.#stopTimer = systemClock.after(timeoutMs, () => {
        const text = `no answer from ${path} within ${Math.round(timeoutMs)} ms`;
        this.abandon(new StatusError(Code.DEADLINE_EXCEEDED, text));
      });
    }
    this.#signal = options.signal;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get answerMetadata(): Metadata {
    return this.#answerMetadata;
  }

  set answerMetadata(metadata: Metadata) {
    this.#answerMetadata = metadata;
    if (!this.#isDone) this.#onMetadata?.(metadata);
  }

  /** True the first time. */
  finish(): boolean {
    if (this.#isDone) return false;
    this.#isDone = true;
    this.#stopTimer?.();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    return true;
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  abandon(error: StatusError): void {
    if (!this.finish()) return;
    this.isCancelled = true;
    this.#onAbandon(error);
    this.onCancel?.();
  }
}

function checkMethod(backend: Backend, path: string): void {
  if (backend.methods.has(path)) return;
  throw new StatusError(Code.UNIMPLEMENTED, `unknown method ${path}`);
}

function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new StatusError(Code.CANCELLED, 'caller cancelled');
}

/**
 * Bytes in, bytes out. @throws StatusError as the callee failed it, DEADLINE_EXCEEDED, CANCELLED
 */
export async function invokeUnary(
  backend: Backend,
  path: string,
  request: Uint8Array,
  options: InvokeOptions = {},
): Promise<UnaryAnswer> {
  checkMethod(backend, path);
  checkSignal(options.signal);
  return new Promise((resolve, reject) => {
    const invocation = new Invocation(
      path,
      options.timeoutMs ?? DEFAULT_DEADLINE_MS,
      options,
      reject,
    );
    const call: UnaryCall = Object.assign(invocation, {
      request,
      succeed(response: Uint8Array, trailers: Metadata = NO_METADATA) {
        const metadata = invocation.answerMetadata;
        if (invocation.finish()) resolve({ response, trailers, metadata });
      },
      fail(error: StatusError) {
        if (invocation.finish()) reject(error);
      },
    });
    backend.unary(call);
  });
}

/**
 * A call that streams in one or both directions: sends `requests`, gives what comes back. Leaving
 * the loop early cancels the call. @throws as invokeUnary, from the iteration
 */
export function invokeStream(
  backend: Backend,
  path: string,
  requests: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: InvokeOptions = {},
): AsyncIterableIterator<Uint8Array, undefined> {
  checkMethod(backend, path);
  checkSignal(options.signal);
  const answers = new MessageQueue();
  const timeoutMs = options.timeoutMs ?? Number.POSITIVE_INFINITY;
  const invocation = new Invocation(path, timeoutMs, options, (error) => answers.fail(error));
  const gate = new Gate();
  const call: StreamCall = Object.assign(invocation, {
    onMessage: undefined,
    onHalfClose: undefined,
    onDrain: undefined,
    send: (message: Uint8Array) => !invocation.isDone && answers.push(message),
    end() {
      if (invocation.finish()) answers.end();
    },
    fail(error: StatusError) {
      if (invocation.finish()) answers.fail(error);
    },
    pause: () => gate.close(),
    resume: () => gate.open(),
  });
  answers.onRoom = () => {
    if (!invocation.isDone) call.onDrain?.();
  };
  answers.onReturn = () => invocation.abandon(new StatusError(Code.CANCELLED, 'caller cancelled'));
  backend.stream(call);
  void sendAll(call, requests, gate, invocation);
  return answers;
}

async function sendAll(
  call: StreamCall,
  requests: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  gate: Gate,
  invocation: Invocation,
): Promise<void> {
  try {
    for await (const request of requests) {
      await gate.whenOpen();
      if (invocation.isDone) return;
      call.onMessage?.(request);
    }
    if (!invocation.isDone) call.onHalfClose?.();
  } catch (thrown) {
    invocation.abandon(statusOf(thrown, Code.CANCELLED));
  }
}

/** Closed while the callee has asked for a pause. */
class Gate {
  #opened: PromiseWithResolvers<void> | undefined;

  close(): void {
    this.#opened ??= Promise.withResolvers();
  }

  open(): void {
    this.#opened?.resolve();
    this.#opened = undefined;
  }

  whenOpen(): Promise<void> | undefined {
    return this.#opened?.promise;
  }
}
