// What every gRPC listener takes and promises, whoever carries the calls.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Backend } from './backend.ts';
import type { ServerTls } from './tls/tls-files.ts';

/** Calls that are open when a drain begins get this long to end; then they are cut. */
export const DRAIN_TIMEOUT_MS = 30_000;
/** Streams get less: a watch would hold the drain for as long as its client likes. */
export const STREAM_DRAIN_TIMEOUT_MS = 2_000;

export interface ServeOptions {
  readonly backend: Backend;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly log: Log;
  /** By default the system's. */
  readonly clock?: Clock;
  readonly maxMessageBytes?: number;
  readonly defaultDeadlineMs?: number;
  /** Files that change are read again, for connections from then on. */
  readonly tls?: ServerTls | undefined;
  /** Allows plain text off loopback. */
  readonly isInsecure?: boolean;
  /** The flag that sets the port, for the message when it is taken: '--grpc-port'. */
  readonly portFlag?: string;
}

export interface GrpcListener {
  readonly port: number;
  /** host:port, as a client of this machine dials it. */
  readonly address: string;
  /** Takes no new calls (GOAWAY), lets open ones end, cuts what is left after `timeoutMs`. */
  drain(timeoutMs?: number): Promise<void>;
  /** Closes everything at once. */
  stop(): void;
}
