// Services of typed messages as Backends: what is off the hot path (health, reflection, admin) is
// written as promises and async generators over decoded messages, and carried like everything else.
import type { Log } from '../common/log.ts';
import { Code, invalidArgument, StatusError, statusOf } from '../common/status.ts';
import type {
  Backend,
  CallContext,
  Metadata,
  MethodKind,
  StreamCall,
  UnaryCall,
} from './backend.ts';
import { MessageQueue } from './message-queue.ts';

/** Bytes of a message and back; ts-proto's message objects are made into one by `codecOf`. */
export interface Codec<T> {
  encode(message: T): Uint8Array;
  /** @throws when the bytes are no such message; a StatusError (a limit) is told as it is */
  decode(bytes: Uint8Array): T;
}

/** The codec of a ts-proto message object. */
export function codecOf<T>(message: {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}): Codec<T> {
  return {
    encode: (value) => message.encode(value).finish(),
    decode: (bytes) => message.decode(bytes),
  };
}

export interface HandlerContext {
  readonly path: string;
  readonly metadata: Metadata;
  /** Moment on the performance.now() clock; Infinity for a stream without one. */
  readonly deadlineMs: number;
  readonly peer: string;
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal;
}

/** One method with its handler, whatever its types. */
export interface Method {
  readonly path: string;
  readonly kind: MethodKind;
  unary(call: UnaryCall, log: Log): void;
  stream(call: StreamCall, log: Log): void;
}

type Answer<T> = Promise<T> | T;

/** A method with one request and one answer. */
export function unary<Request, Response>(
  path: string,
  request: Codec<Request>,
  response: Codec<Response>,
  handler: (request: Request, context: HandlerContext) => Answer<Response>,
): Method {
  const run = async (call: UnaryCall): Promise<void> => {
    const context = contextOf(call);
    call.succeed(response.encode(await handler(decode(path, request, call.request), context)));
  };
  return {
    path,
    kind: 'unary',
    unary: (call, log) => void run(call).catch((thrown) => call.fail(told(path, thrown, log))),
    stream: (call) => call.fail(wrongKind(path)),
  };
}

/** One request, any number of answers. */
export function serverStream<Request, Response>(
  path: string,
  request: Codec<Request>,
  response: Codec<Response>,
  handler: (request: Request, context: HandlerContext) => AsyncIterable<Response>,
): Method {
  return streaming(path, 'server_stream', request, response, async function* (requests, context) {
    yield* handler(await only(path, requests), context);
  });
}

/** Any number of requests, one answer. */
export function clientStream<Request, Response>(
  path: string,
  request: Codec<Request>,
  response: Codec<Response>,
  handler: (requests: AsyncIterable<Request>, context: HandlerContext) => Answer<Response>,
): Method {
  return streaming(path, 'client_stream', request, response, async function* (requests, context) {
    yield await handler(requests, context);
  });
}

/** Any number of both, in any order. */
export function bidiStream<Request, Response>(
  path: string,
  request: Codec<Request>,
  response: Codec<Response>,
  handler: (requests: AsyncIterable<Request>, context: HandlerContext) => AsyncIterable<Response>,
): Method {
  return streaming(path, 'bidi_stream', request, response, handler);
}

/** @throws when a path is there twice: that is a mistake of the program */
export function defineService(methods: readonly Method[], log: Log): Backend {
  const byPath = new Map(methods.map((method) => [method.path, method]));
  if (byPath.size !== methods.length) throw new Error('a method is defined twice');
  return {
    methods: new Map(methods.map((method) => [method.path, method.kind])),
    unary: (call) => {
      const method = byPath.get(call.path);
      if (method === undefined) call.fail(unknownMethod(call.path));
      else method.unary(call, log);
    },
    stream: (call) => {
      const method = byPath.get(call.path);
      if (method === undefined) call.fail(unknownMethod(call.path));
      else method.stream(call, log);
    },
  };
}

/** Answers what any of them answers. @throws when two answer the same path */
export function mergeBackends(backends: readonly Backend[]): Backend {
  const owners = new Map<string, Backend>();
  const methods = new Map<string, MethodKind>();
  for (const backend of backends) {
    for (const [path, kind] of backend.methods) {
      if (owners.has(path)) throw new Error(`${path} is answered by two backends`);
      owners.set(path, backend);
      methods.set(path, kind);
    }
  }
  return {
    methods,
    unary: (call) => {
      const owner = owners.get(call.path);
      if (owner === undefined) call.fail(unknownMethod(call.path));
      else owner.unary(call);
    },
    stream: (call) => {
      const owner = owners.get(call.path);
      if (owner === undefined) call.fail(unknownMethod(call.path));
      else owner.stream(call);
    },
  };
}

export function unknownMethod(path: string): StatusError {
  return new StatusError(Code.UNIMPLEMENTED, `unknown method ${path}`);
}

function wrongKind(path: string): StatusError {
  return new StatusError(Code.INTERNAL, `${path} was called as another kind of method than it is`);
}

function streaming<Request, Response>(
  path: string,
  kind: MethodKind,
  request: Codec<Request>,
  response: Codec<Response>,
  handler: (requests: AsyncIterable<Request>, context: HandlerContext) => AsyncIterable<Response>,
): Method {
  const run = async (call: StreamCall): Promise<void> => {
    const context = contextOf(call);
    const requests = decodeAll(path, request, incoming(call, context.signal));
    const drained = drainOf(call, context.signal);
    for await (const message of handler(requests, context)) {
      if (call.isCancelled) return;
      if (!call.send(response.encode(message))) await drained();
    }
    call.end();
  };
  return {
    path,
    kind,
    unary: (call) => call.fail(wrongKind(path)),
    stream: (call, log) => void run(call).catch((thrown) => call.fail(told(path, thrown, log))),
  };
}

function contextOf(call: CallContext): HandlerContext {
  const controller = new AbortController();
  call.onCancel = () => controller.abort(new StatusError(Code.CANCELLED, 'caller cancelled'));
  const { path, metadata, deadlineMs, peer } = call;
  return { path, metadata, deadlineMs, peer, signal: controller.signal };
}

/** The caller's messages; a caller that has gone makes the iteration throw CANCELLED. */
function incoming(call: StreamCall, signal: AbortSignal): MessageQueue {
  const queue = new MessageQueue();
  call.onMessage = (message) => {
    if (!queue.push(message)) call.pause();
  };
  call.onHalfClose = () => queue.end();
  queue.onRoom = () => call.resume();
  signal.addEventListener('abort', () => queue.fail(signal.reason), { once: true });
  return queue;
}

/** Waits for room after a `send` that returned false; also ends when the caller has gone. */
function drainOf(call: StreamCall, signal: AbortSignal): () => Promise<void> {
  let waiting: PromiseWithResolvers<void> | undefined;
  const release = (): void => waiting?.resolve();
  call.onDrain = release;
  signal.addEventListener('abort', release, { once: true });
  return () => {
    if (signal.aborted) return Promise.resolve();
    waiting = Promise.withResolvers();
    return waiting.promise;
  };
}

async function* decodeAll<T>(path: string, codec: Codec<T>, messages: AsyncIterable<Uint8Array>) {
  for await (const message of messages) yield decode(path, codec, message);
}

async function only<T>(path: string, messages: AsyncIterable<T>): Promise<T> {
  const received: T[] = [];
  for await (const message of messages) {
    received.push(message);
    if (received.length > 1) throw invalidCount(path, 'more');
  }
  const [message] = received;
  if (message === undefined) throw invalidCount(path, 'none');
  return message;
}

function invalidCount(path: string, got: string): StatusError {
  return new StatusError(Code.UNIMPLEMENTED, `${path} takes one request, got ${got}`);
}

function decode<T>(path: string, codec: Codec<T>, bytes: Uint8Array): T {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    if (cause instanceof StatusError) throw cause;
    throw invalidArgument(`request of ${path} can't be decoded: ${statusOf(cause).message}`);
  }
}

/** What the caller is told; what nobody foresaw is logged with its stack. */
function told(path: string, thrown: unknown, log: Log): StatusError {
  if (!(thrown instanceof StatusError)) log.error({ err: thrown, path }, 'handler failed');
  return statusOf(thrown);
}
