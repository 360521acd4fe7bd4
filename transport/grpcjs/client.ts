// A connection to another process as a Backend: calls go out as raw bytes on one HTTP/2 connection
// of
// @grpc/grpc-js, which dials again by itself.
import { readFileSync } from 'node:fs';
import { Channel, connectivityState, credentials } from '@grpc/grpc-js';
import { type Backend, MAX_MESSAGE_BYTES, type MethodKind } from '../backend.ts';
import {
  CLIENT_WINDOW_BYTES,
  commonOptions,
  KEEPALIVE_TIME_MS,
  KEEPALIVE_TIMEOUT_MS,
} from './channel-options.ts';
import { sendStream, sendUnary } from './client-call.ts';

/** Between attempts to connect, growing from the first to the second. */
export const RECONNECT_MIN_MS = 100;
export const RECONNECT_MAX_MS = 2_000;

export interface ClientTls {
  /** PEM of who signs servers; the system's authorities when absent. */
  readonly caFile?: string;
  /** PEM files of this client's own certificate, where the server asks for one. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** Name to expect in the server's certificate when it isn't the address's host. */
  readonly serverName?: string;
}

export interface ConnectOptions {
  /** host:port */
  readonly address: string;
  readonly methods: ReadonlyMap<string, MethodKind>;
  readonly tls?: ClientTls;
  readonly maxMessageBytes?: number;
  /** While calls are open; by default KEEPALIVE_TIME_MS and KEEPALIVE_TIMEOUT_MS. */
  readonly keepalive?: { readonly timeMs: number; readonly timeoutMs: number };
}

/** 'failed': the last attempt failed and the next is not yet due. */
export type ConnectionState = 'ready' | 'connecting' | 'failed';

export interface Connection extends Backend {
  readonly address: string;
  /** Starts connecting when idle. */
  state(): ConnectionState;
  /** Open calls fail with CANCELLED or UNAVAILABLE; further calls with UNAVAILABLE. */
  close(): void;
}

function credentialsOf(tls: ClientTls | undefined) {
  if (tls === undefined) return credentials.createInsecure();
  const read = (path: string | undefined): Buffer | null =>
    path === undefined ? null : readFileSync(path);
  return credentials.createSsl(read(tls.caFile), read(tls.keyFile), read(tls.certFile));
}

/**
 * Returns at once; the first call, or state(), makes it dial. @throws when TLS files can't be read
 */
export function connect(options: ConnectOptions): Connection {
  const { address, methods, tls } = options;
  const serverName = tls?.serverName;
  const { keepalive = { timeMs: KEEPALIVE_TIME_MS, timeoutMs: KEEPALIVE_TIMEOUT_MS } } = options;
  const channel = new Channel(address, credentialsOf(tls), {
    ...commonOptions(options.maxMessageBytes ?? MAX_MESSAGE_BYTES),
    'grpc.keepalive_time_ms': keepalive.timeMs,
    'grpc.keepalive_timeout_ms': keepalive.timeoutMs,
    'grpc-node.flow_control_window': CLIENT_WINDOW_BYTES,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.initial_reconnect_backoff_ms': RECONNECT_MIN_MS,
    'grpc.max_reconnect_backoff_ms': RECONNECT_MAX_MS,
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
  });
  return {
    address,
    methods,
    unary: (call) => sendUnary(channel, address, call),
    stream: (call) => sendStream(channel, address, call),
    state: () => stateOf(channel),
    close: () => channel.close(),
  };
}

function stateOf(channel: Channel): ConnectionState {
  switch (channel.getConnectivityState(true)) {
    case connectivityState.READY:
      return 'ready';
    case connectivityState.TRANSIENT_FAILURE:
    case connectivityState.SHUTDOWN:
      return 'failed';
    default:
      return 'connecting';
  }
}
