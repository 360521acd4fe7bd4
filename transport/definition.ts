// From the service definitions that ts-proto generates for our own API (torus/v1) to Backends and
// back: a typed implementation is mounted as a Backend, a Backend is called as a typed client.

import { toBuffer } from '../common/bytes.ts';
import type { Log } from '../common/log.ts';
import { Code, StatusError, statusOf } from '../common/status.ts';
import type { Backend, MethodKind } from './backend.ts';
import { type InvokeOptions, invokeStream, invokeUnary } from './invoke.ts';
import { kindOf } from './late-backend.ts';
import {
  bidiStream,
  type Codec,
  clientStream,
  defineService,
  type HandlerContext,
  type Method,
  serverStream,
  unary,
} from './service.ts';

interface MethodDefinition {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  requestSerialize(value: never): Uint8Array;
  requestDeserialize(bytes: Buffer): unknown;
  responseSerialize(value: never): Uint8Array;
  responseDeserialize(bytes: Buffer): unknown;
}

/** 'ModelServiceService' and its like, of proto/gen/torus/v1. */
export type ServiceDefinition = Readonly<Record<string, MethodDefinition>>;

type RequestOf<M extends MethodDefinition> = ReturnType<M['requestDeserialize']>;
type ResponseOf<M extends MethodDefinition> = ReturnType<M['responseDeserialize']>;

type Handler<M extends MethodDefinition> = (
  request: M['requestStream'] extends true ? AsyncIterable<RequestOf<M>> : RequestOf<M>,
  context: HandlerContext,
) => M['responseStream'] extends true
  ? AsyncIterable<ResponseOf<M>>
  : Promise<ResponseOf<M>> | ResponseOf<M>;

/** One handler for each method: a promise of the answer, or an async generator of answers. */
export type Implementation<D extends ServiceDefinition> = {
  readonly [Name in keyof D]: Handler<D[Name]>;
};

type ClientMethod<M extends MethodDefinition> = (
  request: M['requestStream'] extends true
    ? Iterable<RequestOf<M>> | AsyncIterable<RequestOf<M>>
    : RequestOf<M>,
  options?: InvokeOptions,
) => M['responseStream'] extends true ? AsyncIterable<ResponseOf<M>> : Promise<ResponseOf<M>>;

export type TypedClient<D extends ServiceDefinition> = {
  readonly [Name in keyof D]: ClientMethod<D[Name]>;
};

interface Codecs {
  readonly request: Codec<unknown>;
  readonly response: Codec<unknown>;
}

function codecsOf(method: MethodDefinition): Codecs {
  const encode = (serialize: (value: never) => Uint8Array) => (message: unknown) =>
    serialize(message as never);
  return {
    request: {
      encode: encode(method.requestSerialize),
      decode: (bytes) => method.requestDeserialize(toBuffer(bytes)),
    },
    response: {
      encode: encode(method.responseSerialize),
      decode: (bytes) => method.responseDeserialize(toBuffer(bytes)),
    },
  };
}

type AnyUnary = (request: unknown, context: HandlerContext) => Promise<unknown>;
type AnyServerStream = (request: unknown, context: HandlerContext) => AsyncIterable<unknown>;
type AnyClientStream = (all: AsyncIterable<unknown>, context: HandlerContext) => Promise<unknown>;
type AnyBidi = (all: AsyncIterable<unknown>, context: HandlerContext) => AsyncIterable<unknown>;

function methodOf(definition: MethodDefinition, handler: unknown): Method {
  const { path, requestStream, responseStream } = definition;
  const { request, response } = codecsOf(definition);
  if (requestStream) {
    return responseStream
      ? bidiStream(path, request, response, handler as AnyBidi)
      : clientStream(path, request, response, handler as AnyClientStream);
  }
  return responseStream
    ? serverStream(path, request, response, handler as AnyServerStream)
    : unary(path, request, response, handler as AnyUnary);
}

/** What a connection to a server of these services must know of them. */
export function methodsOf(definition: ServiceDefinition): ReadonlyMap<string, MethodKind> {
  return new Map(
    Object.values(definition).map(({ path, requestStream, responseStream }) => [
      path,
      kindOf(requestStream, responseStream),
    ]),
  );
}

/** A Backend that answers the definition's methods with these handlers. */
export function serveDefinition<D extends ServiceDefinition>(
  definition: D,
  implementation: Implementation<D>,
  log: Log,
): Backend {
  const methods = Object.entries(definition).map(([name, method]) =>
    methodOf(method, implementation[name]),
  );
  return defineService(methods, log);
}

async function* encodeAll(codec: Codec<unknown>, messages: unknown): AsyncIterable<Uint8Array> {
  for await (const message of messages as AsyncIterable<unknown>) yield codec.encode(message);
}

function decodeAnswer(path: string, codec: Codec<unknown>, bytes: Uint8Array): unknown {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    const text = `answer of ${path} can't be decoded: ${statusOf(cause).message}`;
    throw new StatusError(Code.INTERNAL, text, { cause });
  }
}

async function* decodeAnswers(path: string, codec: Codec<unknown>, all: AsyncIterable<Uint8Array>) {
  for await (const bytes of all) yield decodeAnswer(path, codec, bytes);
}

function clientMethod(definition: MethodDefinition, backend: Backend) {
  const { path, requestStream, responseStream } = definition;
  const { request, response } = codecsOf(definition);
  const stream = (message: unknown, options?: InvokeOptions) =>
    decodeAnswers(
      path,
      response,
      invokeStream(
        backend,
        path,
        requestStream ? encodeAll(request, message) : [request.encode(message)],
        options,
      ),
    );
  if (responseStream) return stream;
  if (requestStream) {
    return async (message: unknown, options?: InvokeOptions) => {
      for await (const answer of stream(message, options)) return answer;
      throw new StatusError(Code.INTERNAL, `${path} answered OK without a message`);
    };
  }
  return async (message: unknown, options?: InvokeOptions) => {
    const { response: bytes } = await invokeUnary(backend, path, request.encode(message), options);
    return decodeAnswer(path, response, bytes);
  };
}

/** Calls the definition's methods on a Backend: a connection, or one of this process. */
export function clientOf<D extends ServiceDefinition>(
  definition: D,
  backend: Backend,
): TypedClient<D> {
  const methods = Object.entries(definition).map(([name, method]) => [
    name,
    clientMethod(method, backend),
  ]);
  return Object.fromEntries(methods) as TypedClient<D>;
}
