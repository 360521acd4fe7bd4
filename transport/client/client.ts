// Calls to another process over our own HTTP/2: a Backend whose callee is there, and the way on for
// calls that are passed on as they are. It dials by itself when there are calls, again when a
// connection was lost, and further ones when one takes no more streams.
import { type Clock, systemClock } from '../../common/clock.ts';
import { Code, StatusError } from '../../common/status.ts';
import {
  type Backend,
  MAX_MESSAGE_BYTES,
  type MethodKind,
  type StreamCall,
  type UnaryCall,
} from '../backend.ts';
import { messageTooLarge } from '../grpc/message-prefix.ts';
import type { ConnectionOptions } from '../http2/connection/connection-state.ts';
import { DEFAULT_LIMITS, type LimitName } from '../http2/connection/limits.ts';
import { connectionOptions } from '../http2/connection/options.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import type { RawCaller, RawOpener, RawRequest } from '../raw-call.ts';
import { DeadlineWatch } from './deadline-watch.ts';
import { type ClientTls, CONNECT_TIMEOUT_MS, parseAddress, renewedTls } from './dial.ts';
import { DialPlan, MAX_CONNECTIONS, RECONNECT_MAX_MS, RECONNECT_MIN_MS } from './dial-plan.ts';
import { type ClientState, LinkPool } from './link-pool.ts';
import { type Carrier, expired, type Outgoing } from './outgoing.ts';
import { OutgoingRaw } from './outgoing-raw.ts';
import { OutgoingStream } from './outgoing-stream.ts';
import { OutgoingUnary } from './outgoing-unary.ts';
import { RequestHeaders } from './request-headers.ts';

/** A connection with open calls that has been silent for so long is pinged. */
export const KEEPALIVE_TIME_MS = 10_000;
/** No answer to a ping in this time: the connection is lost, its calls fail with UNAVAILABLE. */
export const KEEPALIVE_TIMEOUT_MS = 5_000;

/**
 * What a server may send of an answer before it is taken: a caller that takes nothing costs so
 * much. One that takes what comes is given more, up to the second, and all of a connection's calls
 * together so much more than the first as the third says. Whole frames fit: a byte less, and each
 * window ends in a frame of next to nothing.
 */
export const STREAM_WINDOW_BYTES = 64 * 1024;
export const MOST_STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
export const WINDOW_GROWTH_BYTES = 32 * 1024 * 1024;
/** Servers end a window with what fits: honest ones send many small frames, unlike a flood. */
const TINY_DATA_PER_SECOND = 100_000;
/** More than all its streams' windows together, so that no call waits for another to be taken. */
const CONNECTION_WINDOW_BYTES = 512 * 1024 * 1024;
/** Calls of a connection, whatever the server allows; further ones go over another, or wait. */
export const MAX_CALLS_PER_CONNECTION = 1_000;

export interface ClientOptions {
  /** host:port, [IPv6]:port */
  readonly address: string;
  readonly methods: ReadonlyMap<string, MethodKind>;
  /** Files that change are read again, for connections from then on. */
  readonly tls?: ClientTls | undefined;
  /** Goes with each call that begins here, as 'authorization: Bearer ...'. */
  readonly bearerToken?: string | undefined;
  readonly maxMessageBytes?: number;
  readonly keepalive?: { readonly timeMs: number; readonly timeoutMs: number };
  readonly connectTimeoutMs?: number;
  readonly maxConnections?: number;
  /** Of each connection. */
  readonly connection?: Partial<ConnectionOptions>;
  /** The server crossed a limit: to be counted. */
  readonly onLimit?: (name: LimitName) => void;
  readonly clock?: Clock;
  /** In [0, 1): spreads the pauses between attempts. */
  readonly random?: () => number;
}

/** What a client holds now; all of it is 0 once it is closed. */
export interface ClientHeld {
  /** Dialing, open, or ending. */
  readonly connections: number;
  /** Sent and not answered. */
  readonly calls: number;
  readonly waitingCalls: number;
  readonly waitingBytes: number;
  readonly timers: number;
}

export interface GrpcClient extends Backend, RawOpener {
  readonly address: string;
  /** Starts connecting when idle. */
  state(): ClientState;
  readonly held: ClientHeld;
  /** Takes no more calls; resolves once the open ones have ended and every socket is closed. */
  drain(): Promise<void>;
  /** Ends everything at once: open calls and later ones fail with ConnectionLost. */
  close(): void;
}

/**
 * Returns at once; the first call, or state(), makes it dial.
 * @throws StatusError INVALID_ARGUMENT for an address, FAILED_PRECONDITION for unreadable TLS files
 */
export function connectGrpc(options: ClientOptions): GrpcClient {
  return new Client(options);
}

class Client implements GrpcClient, Carrier {
  readonly address: string;
  readonly methods: ReadonlyMap<string, MethodKind>;
  readonly maxMessageBytes: number;
  readonly #clock: Clock;
  readonly #pool: LinkPool;
  readonly #deadlines: DeadlineWatch;

  constructor(options: ClientOptions) {
    const { address, tls, clock = systemClock, random = Math.random } = options;
    const { host, port } = parseAddress(address);
    this.address = address;
    this.methods = options.methods;
    this.maxMessageBytes = options.maxMessageBytes ?? MAX_MESSAGE_BYTES;
    this.#clock = clock;
    const maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
    const [minMs, maxMs] = [RECONNECT_MIN_MS, RECONNECT_MAX_MS];
    const timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    this.#pool = new LinkPool({
      address,
      target: { host, port, tls: tls && renewedTls(tls, host), timeoutMs },
      connection: connectionFor(options),
      headers: new RequestHeaders(
        tls?.serverName ?? address,
        tls !== undefined,
        options.bearerToken,
      ),
      plan: new DialPlan({ minMs, maxMs, maxConnections, random }),
      clock,
      onLimit: options.onLimit ?? (() => {}),
    });
    this.#deadlines = new DeadlineWatch(clock, (nowMs) => this.#expire(nowMs));
  }

  unary(call: UnaryCall): void {
    const sizeBytes = call.request.length;
    if (call.isCancelled) call.fail(new StatusError(Code.CANCELLED, 'caller cancelled'));
    else if (sizeBytes > this.maxMessageBytes) {
      call.fail(messageTooLarge(sizeBytes, this.maxMessageBytes));
    } else this.#send(new OutgoingUnary(this, call), call.path);
  }

  stream(call: StreamCall): void {
    if (call.isCancelled) {
      call.fail(new StatusError(Code.CANCELLED, 'caller cancelled'));
      return;
    }
    const kind = this.methods.get(call.path) ?? 'bidi_stream';
    this.#send(new OutgoingStream(this, call, kind), call.path);
  }

  open(
    path: string,
    fields: readonly HeaderField[],
    deadlineMs: number,
    caller: RawCaller,
    nowMs = this.#clock.nowMs(),
  ): RawRequest {
    const call = new OutgoingRaw(this, path, fields, deadlineMs, caller);
    const error = this.#pool.begin(call, nowMs);
    // Who opens a call hears of it only after this has returned.
    if (error !== undefined) this.#clock.after(0, () => call.refuse(error));
    return call;
  }

  state(): ClientState {
    return this.#pool.state();
  }

  get held(): ClientHeld {
    const { links, waiting } = this.#pool;
    let calls = 0;
    for (const link of links) calls += link.connection.openStreams;
    return {
      connections: links.size,
      calls,
      waitingCalls: waiting.size,
      waitingBytes: waiting.bytes,
      timers: Number(this.#deadlines.isArmed) + Number(this.#pool.isArmed),
    };
  }

  async drain(): Promise<void> {
    await this.#pool.drain();
    this.#deadlines.stop();
  }

  close(): void {
    this.#pool.close();
    this.#deadlines.stop();
  }

  forget(call: Outgoing): void {
    this.#pool.waiting.leave(call);
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  #send(call: Outgoing, path: string): void {
    const nowMs = this.#clock.nowMs();
    if (call.deadlineMs <= nowMs) {
      call.refuse(expired(path, this.address));
      return;
    }
    const error = this.#pool.begin(call, nowMs);
    if (error !== undefined) call.refuse(error);
    else this.#deadlines.note(call.deadlineMs);
  }

  #expire(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    const look = (call: Outgoing): void => {
      if (call.deadlineMs <= nowMs) call.expire();
      else if (call.deadlineMs < nextMs) nextMs = call.deadlineMs;
    };
    for (const call of [...this.#pool.waiting.all]) look(call);
    for (const link of [...this.#pool.links]) {
      for (const stream of link.connection.streams) look(stream.context as Outgoing);
    }
    return nextMs;
  }
}

function connectionFor(options: ClientOptions): ConnectionOptions {
  const { keepalive = { timeMs: KEEPALIVE_TIME_MS, timeoutMs: KEEPALIVE_TIMEOUT_MS } } = options;
  return connectionOptions(false, {
    streamWindowBytes: STREAM_WINDOW_BYTES,
    mostStreamWindowBytes: MOST_STREAM_WINDOW_BYTES,
    windowGrowthBytes: WINDOW_GROWTH_BYTES,
    connectionWindowBytes: CONNECTION_WINDOW_BYTES,
    ...options.connection,
    limits: {
      ...DEFAULT_LIMITS,
      openedStreams: MAX_CALLS_PER_CONNECTION,
      tinyDataPerSecond: TINY_DATA_PER_SECOND,
      keepaliveMs: keepalive.timeMs,
      keepaliveTimeoutMs: keepalive.timeoutMs,
      isKeptAliveIdle: false,
      // A callee that takes its time is held to the call's deadline, not to a limit of ours.
      stalledMs: Number.POSITIVE_INFINITY,
    },
  });
}
