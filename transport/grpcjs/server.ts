// A gRPC listener on @grpc/grpc-js that carries any Backend. Bytes go through as they are; grpc-js
// copies a message once to join its frames and once to add its prefix.
import { Server, ServerCredentials, ServerInterceptingCall } from '@grpc/grpc-js';
import { systemClock } from '../../common/clock.ts';
import type { MethodKind } from '../backend.ts';
import { DEFAULT_DEADLINE_MS, MAX_MESSAGE_BYTES } from '../backend.ts';
import {
  DRAIN_TIMEOUT_MS,
  type GrpcListener,
  type ServeOptions,
  STREAM_DRAIN_TIMEOUT_MS,
} from '../grpc-listener.ts';
import { checkListen, formatAddress } from '../listen.ts';
import { listenSockets, type SocketListener } from '../sockets.ts';
import { readServerTls, type ServerPem, watchServerTls } from '../tls/tls-files.ts';
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

function credentialsOf(pem: ServerPem | undefined): ServerCredentials {
  if (pem === undefined) return ServerCredentials.createInsecure();
  const pair = { cert_chain: Buffer.from(pem.cert), private_key: Buffer.from(pem.key) };
  const clientCa = pem.clientCa === undefined ? null : Buffer.from(pem.clientCa);
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
  const { host, port, tls, log, backend, clock = systemClock } = options;
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
  const served = tls && readServerTls(tls);
  let injector = server.createConnectionInjector(credentialsOf(served));
  const sockets = await listenSockets({
    host,
    port,
    portFlag: options.portFlag,
    onConnection: (socket) => injector.injectConnection(socket),
  });
  // What an earlier injector has taken stays with it.
  const use = (pem: ServerPem): void => {
    injector = server.createConnectionInjector(credentialsOf(pem));
  };
  const watch = tls && served && watchServerTls({ tls, served, clock, log, use });
  return {
    port: sockets.port,
    address: formatAddress(host, sockets.port),
    async drain(timeoutMs = DRAIN_TIMEOUT_MS) {
      watch?.stop();
      await drain(server, sockets, environment.open, timeoutMs);
    },
    stop() {
      watch?.stop();
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
