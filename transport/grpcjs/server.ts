// A gRPC listener on @grpc/grpc-js that carries any Backend. Bytes go through as they are; grpc-js
// copies a message once to join its frames and once to add its prefix.
import { readFileSync } from 'node:fs';
import { Server, ServerCredentials, ServerInterceptingCall } from '@grpc/grpc-js';
import { Code, StatusError } from '../../common/status.ts';
import type { MethodKind } from '../backend.ts';
import { DEFAULT_DEADLINE_MS, MAX_MESSAGE_BYTES } from '../backend.ts';
import {
  DRAIN_TIMEOUT_MS,
  type GrpcListener,
  type ServeOptions,
  type ServerTls,
  STREAM_DRAIN_TIMEOUT_MS,
} from '../grpc-listener.ts';
import { checkListen, formatAddress } from '../listen.ts';
import { listenSockets, type SocketListener } from '../sockets.ts';
import { commonOptions, MAX_CONCURRENT_STREAMS } from './channel-options.ts';
import { ServerCall, type ServerCallEnvironment } from './server-call.ts';

const HANDLER_TYPE = {
  unary: 'unary',
  client_stream: 'clientStream',
  server_stream: 'serverStream',
  bidi_stream: 'bidi',
} as const satisfies Record<MethodKind, string>;

const identity = (message: Buffer): Buffer => message;
/** Never reached: the interceptor takes each call before its handler would start. */
const unreachable = (): void => {};

function readPem(what: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new StatusError(Code.FAILED_PRECONDITION, `cannot read the ${what} ${path}: ${cause}`, {
      cause,
    });
  }
}

function credentialsOf(tls: ServerTls | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = {
    cert_chain: readPem('TLS certificate', tls.certFile),
    private_key: readPem('TLS key', tls.keyFile),
  };
  const clientCa =
    tls.clientCaFile === undefined ? null : readPem('client CA certificate', tls.clientCaFile);
  return ServerCredentials.createSsl(clientCa, [pair], clientCa !== null);
}

function buildServer(environment: ServerCallEnvironment): Server {
  const { backend, maxMessageBytes } = environment;
  const server = new Server({
    ...commonOptions(maxMessageBytes),
    'grpc.max_concurrent_streams': MAX_CONCURRENT_STREAMS,
    interceptors: [
      (method, call) => {
        const kind = backend.methods.get(method.path) ?? 'unary';
        const taken = new ServerCall(call, method.path, kind, environment);
        return new ServerInterceptingCall(call, { start: () => taken.start() });
      },
    ],
  });
  for (const [path, kind] of backend.methods) {
    server.register(path, unreachable, identity, identity, HANDLER_TYPE[kind]);
  }
  return server;
}

/**
 * Listens; calls are answered from the moment this resolves.
 * @throws FAILED_PRECONDITION for plain text off loopback or unreadable TLS files; ALREADY_EXISTS
 * when the port is taken
 */
export async function serveGrpc(options: ServeOptions): Promise<GrpcListener> {
  const { host, port, tls, log, backend } = options;
  const isInsecureAllowed = options.isInsecure ?? false;
  checkListen({ host, hasTls: tls !== undefined, isInsecureAllowed });
  const environment: ServerCallEnvironment = {
    backend,
    log,
    maxMessageBytes: options.maxMessageBytes ?? MAX_MESSAGE_BYTES,
    defaultDeadlineMs: options.defaultDeadlineMs ?? DEFAULT_DEADLINE_MS,
    open: new Set(),
  };
  const server = buildServer(environment);
  const injector = server.createConnectionInjector(credentialsOf(tls));
  const sockets = await listenSockets({
    host,
    port,
    portFlag: options.portFlag,
    onConnection: (socket) => injector.injectConnection(socket),
  });
  return {
    port: sockets.port,
    address: formatAddress(host, sockets.port),
    drain: (timeoutMs = DRAIN_TIMEOUT_MS) => drain(server, sockets, environment.open, timeoutMs),
    stop() {
      server.forceShutdown();
      sockets.cut();
    },
  };
}

/**
 * Tells clients to go (GOAWAY) and waits until they have: they do once their last call has ended.
 * What tryShutdown itself says of that is not waited for: on Node 24 it says so at once.
 */
async function drain(
  server: Server,
  sockets: SocketListener,
  open: Set<ServerCall>,
  timeoutMs: number,
): Promise<void> {
  const cutCalls = (isCut: (call: ServerCall) => boolean): void => {
    for (const call of [...open]) if (isCut(call)) call.shutDown();
  };
  sockets.close();
  server.tryShutdown(() => {});
  const streamsMs = Math.min(timeoutMs, STREAM_DRAIN_TIMEOUT_MS);
  const cutStreams = setTimeout(() => cutCalls(({ kind }) => kind !== 'unary'), streamsMs);
  const cutAll = setTimeout(() => {
    cutCalls(() => true);
    // What they were just told still has to leave.
    setImmediate(() => sockets.cut());
  }, timeoutMs);
  await sockets.gone();
  clearTimeout(cutStreams);
  clearTimeout(cutAll);
}
