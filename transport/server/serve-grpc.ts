// A gRPC listener on our own HTTP/2: the same promises as the one on @grpc/grpc-js, so that a role
// can have one or the other.
import { systemClock } from '../../common/clock.ts';
import {
  DRAIN_TIMEOUT_MS,
  type GrpcListener,
  type ServeOptions,
  STREAM_DRAIN_TIMEOUT_MS,
} from '../grpc-listener.ts';
import type { ConnectionOptions } from '../http2/connection/connection-state.ts';
import { connectionOptions } from '../http2/connection/options.ts';
import { acceptedReads } from '../http2/shell/accepted-reads.ts';
import { type ConnectionListener, listenConnections } from '../http2/shell/connection-listener.ts';
import { checkListen, formatAddress } from '../listen.ts';
import type { RawBackend } from '../raw-call.ts';
import { readServerTls, watchServerTls } from '../tls/tls-files.ts';
import { GrpcConnection } from './grpc-connection.ts';
import { ServedListener } from './served-listener.ts';
import type { ServerCall } from './server-call.ts';
import { DEFAULT_SERVER_LIMITS, type ServerLimitName, type ServerLimits } from './server-limits.ts';
import { UnaryServerCall } from './unary-call.ts';

/**
 * What a caller may send before it is taken: a call that nobody takes costs so much. One that is
 * taken as it comes is given more, up to the second, and all of a connection's calls together so
 * much more as the third says. The connection's window is more than all of that, so that calls
 * which are not taken keep no others waiting; what is held in the end is bounded for the listener
 * (ServerLimits.requestBytes).
 */
const WINDOWS = {
  streamWindowBytes: 256 * 1024,
  mostStreamWindowBytes: 4 * 1024 * 1024,
  windowGrowthBytes: 32 * 1024 * 1024,
  connectionWindowBytes: 512 * 1024 * 1024,
} as const satisfies Partial<ConnectionOptions>;

export interface ServeGrpcOptions extends ServeOptions {
  /** Takes the calls of its paths at their head, before the backend. */
  readonly raw?: RawBackend;
  readonly limits?: Partial<ServerLimits>;
  /** Of each connection. */
  readonly connection?: Partial<ConnectionOptions>;
  /** Other threads may listen on the same port. */
  readonly isPortShared?: boolean;
  /** From 0 up to 1; spreads what should not happen to all connections at once. */
  readonly random?: () => number;
  /** A caller crossed a limit: to be counted. */
  readonly onLimit?: (name: ServerLimitName) => void;
}

/** What a listener holds now; all of it is 0 when nobody calls. */
export interface Held {
  readonly connections: number;
  readonly calls: number;
  /** Of requests, and of answers that callers have not taken. */
  readonly requestBytes: number;
  readonly answerBytes: number;
  readonly deadlines: number;
}

export interface OwnGrpcListener extends GrpcListener {
  readonly held: Held;
  /** Takes no more connections; calls on the open ones go on, until a drain. */
  closePort(): void;
  /** Reads the files now rather than soon. @throws as serveGrpc() */
  reloadTls(): void;
}

/**
 * Listens; calls are answered from the moment this resolves.
 * @throws FAILED_PRECONDITION for plain text off loopback or unreadable TLS files; ALREADY_EXISTS
 * when the port is taken
 */
export async function serveGrpc(options: ServeGrpcOptions): Promise<OwnGrpcListener> {
  const { host, port, tls, portFlag } = options;
  checkListen({ host, hasTls: tls !== undefined, isInsecureAllowed: options.isInsecure ?? false });
  const served = tls && readServerTls(tls);
  const listener = listenerOf(options);
  const reads = await acceptedReads();
  if (reads.problem !== '') {
    options.log.info({ reason: reads.problem }, "sockets read into Node's buffers: more garbage");
  }
  const sockets = await listenConnections({
    host,
    port,
    portFlag,
    connection: connectionOptions(true, { ...WINDOWS, ...options.connection }),
    nowMs: () => listener.nowMs(),
    reads,
    isPortShared: options.isPortShared ?? false,
    maxConnections: listener.limits.connections,
    onRefusedConnection: () => listener.onLimit('connections'),
    onLateHandshake: () => listener.onLimit('handshake_time'),
    makeHandler: (peer) => new GrpcConnection(listener, peer),
    ...(served && { tls: served }),
  });
  const { clock = systemClock, log } = options;
  const use = sockets.setTls;
  const watch = tls && served && watchServerTls({ tls, served, clock, log, use });
  return {
    port: sockets.port,
    address: formatAddress(host, sockets.port),
    get held() {
      return heldBy(listener);
    },
    reloadTls: () => watch?.reload(),
    closePort: () => sockets.closePort(),
    async drain(timeoutMs = DRAIN_TIMEOUT_MS) {
      watch?.stop();
      await drain(listener, sockets, timeoutMs);
    },
    stop() {
      watch?.stop();
      sockets.cut();
      listener.stop();
    },
  };
}

function listenerOf(options: ServeGrpcOptions): ServedListener {
  const { maxMessageBytes, defaultDeadlineMs } = options;
  return new ServedListener({
    backend: options.backend,
    raw: options.raw,
    log: options.log,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    onLimit: options.onLimit ?? (() => {}),
    limits: {
      ...DEFAULT_SERVER_LIMITS,
      ...(maxMessageBytes !== undefined && { messageBytes: maxMessageBytes }),
      ...(defaultDeadlineMs !== undefined && { defaultDeadlineMs }),
      ...options.limits,
    },
  });
}

function heldBy(listener: ServedListener): Held {
  let calls = 0;
  for (const { connection } of listener.connections) calls += connection.openStreams;
  return {
    connections: listener.connections.size,
    calls,
    requestBytes: listener.requests.heldBytes,
    answerBytes: listener.answers.heldBytes,
    deadlines: listener.waiting,
  };
}

/** Tells clients to go (GOAWAY) and waits until they have; what stays too long is cut. */
async function drain(
  listener: ServedListener,
  sockets: ConnectionListener,
  timeoutMs: number,
): Promise<void> {
  const end = (isMeant: (call: ServerCall) => boolean): void => {
    for (const served of listener.connections) {
      for (const call of served.calls()) if (isMeant(call)) call.shutDown();
    }
  };
  const streamsMs = Math.min(timeoutMs, STREAM_DRAIN_TIMEOUT_MS);
  const isStream = (call: ServerCall): boolean => !(call instanceof UnaryServerCall);
  const stopStreams = listener.after(streamsMs, () => end(isStream));
  const stopAll = listener.after(timeoutMs, () => {
    end(() => true);
    // What they were just told still has to leave.
    setImmediate(() => setImmediate(() => sockets.cut()));
  });
  await sockets.drain();
  stopStreams();
  stopAll();
  listener.stop();
}
