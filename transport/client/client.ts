// Calls to another process over our own HTTP/2: a Backend whose callee is there, and the way on for
// calls that are passed on as they are. It dials by itself when there are calls, again when a
// connection was lost, and further ones when one takes no more streams.
import { type Clock, systemClock } from '../../common/clock.ts';
import { Code, StatusError, statusOf } from '../../common/status.ts';
import {
  type Backend,
  ConnectionLost,
  MAX_MESSAGE_BYTES,
  type MethodKind,
  type StreamCall,
  type UnaryCall,
} from '../backend.ts';
import { messageTooLarge } from '../grpc/message-prefix.ts';
import type { ConnectionOptions } from '../http2/connection/connection-state.ts';
import { DEFAULT_LIMITS } from '../http2/connection/limits.ts';
import { connectionOptions } from '../http2/connection/options.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import type { RawCaller, RawOpener, RawRequest } from '../raw-call.ts';
import { DeadlineWatch } from './deadline-watch.ts';
import {
  type ClientTls,
  CONNECT_TIMEOUT_MS,
  type DialOptions,
  parseAddress,
  readTls,
} from './dial.ts';
import { DialPlan, MAX_CONNECTIONS, RECONNECT_MAX_MS, RECONNECT_MIN_MS } from './dial-plan.ts';
import { Link, type LinkOwner } from './link.ts';
import { type Carrier, expired, type Outgoing } from './outgoing.ts';
import { OutgoingRaw } from './outgoing-raw.ts';
import { OutgoingStream } from './outgoing-stream.ts';
import { OutgoingUnary } from './outgoing-unary.ts';
import { RequestHeaders } from './request-headers.ts';
import { WaitingCalls } from './waiting-calls.ts';

/** A connection with open calls that has been silent for so long is pinged. */
export const KEEPALIVE_TIME_MS = 10_000;
/** No answer to a ping in this time: the connection is lost, its calls fail with UNAVAILABLE. */
export const KEEPALIVE_TIMEOUT_MS = 5_000;

export interface ClientOptions {
  /** host:port, [IPv6]:port */
  readonly address: string;
  readonly methods: ReadonlyMap<string, MethodKind>;
  readonly tls?: ClientTls;
  readonly maxMessageBytes?: number;
  readonly keepalive?: { readonly timeMs: number; readonly timeoutMs: number };
  readonly connectTimeoutMs?: number;
  readonly maxConnections?: number;
  readonly clock?: Clock;
  /** In [0, 1): spreads the pauses between attempts. */
  readonly random?: () => number;
}

/** 'failed': the last attempt failed and the next is not yet due. */
export type ClientState = 'ready' | 'connecting' | 'failed';

export interface GrpcClient extends Backend, RawOpener {
  readonly address: string;
  /** Starts connecting when idle. */
  state(): ClientState;
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

class Client implements GrpcClient, Carrier, LinkOwner {
  readonly address: string;
  readonly methods: ReadonlyMap<string, MethodKind>;
  readonly maxMessageBytes: number;
  readonly #clock: Clock;
  readonly #connection: ConnectionOptions;
  readonly #target: DialOptions;
  readonly #headers: RequestHeaders;
  readonly #plan: DialPlan;
  readonly #deadlines: DeadlineWatch;
  readonly #waiting = new WaitingCalls();
  /** Those that are dialing, take calls, or have calls that still run. */
  readonly #links = new Set<Link>();
  /** The one that took the last call. */
  #current: Link | undefined;
  #lastFailure = '';
  #isClosed = false;
  #stopWakeTimer: (() => void) | undefined;
  readonly #drained = Promise.withResolvers<void>();

  constructor(options: ClientOptions) {
    const { address, tls, clock = systemClock, random = Math.random } = options;
    const { host, port } = parseAddress(address);
    this.address = address;
    this.methods = options.methods;
    this.maxMessageBytes = options.maxMessageBytes ?? MAX_MESSAGE_BYTES;
    this.#clock = clock;
    const timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    this.#target = { host, port, tls: tls && readTls(tls, host), timeoutMs };
    this.#connection = connectionFor(options);
    this.#headers = new RequestHeaders(tls?.serverName ?? address, tls !== undefined);
    const maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
    const [minMs, maxMs] = [RECONNECT_MIN_MS, RECONNECT_MAX_MS];
    this.#plan = new DialPlan({ minMs, maxMs, maxConnections, random });
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
  ): RawRequest {
    const call = new OutgoingRaw(this, path, fields, deadlineMs, caller);
    const error = this.#begin(call, this.#clock.nowMs());
    // Who opens a call hears of it only after this has returned.
    if (error !== undefined) this.#clock.after(0, () => call.refuse(error));
    return call;
  }

  state(): ClientState {
    const nowMs = this.#clock.nowMs();
    for (const link of this.#links) if (link.isOpen) return 'ready';
    if (this.#isClosed || this.#plan.isRefusing(nowMs)) return 'failed';
    if (this.#plan.ask(nowMs) === 'dial') this.#dial();
    return 'connecting';
  }

  drain(): Promise<void> {
    this.#stopTaking();
    for (const link of [...this.#links]) link.drain();
    this.#settleDrained();
    return this.#drained.promise;
  }

  close(): void {
    this.#stopTaking();
    for (const link of [...this.#links]) link.close();
    this.#deadlines.stop();
    this.#settleDrained();
  }

  forget(call: Outgoing): void {
    this.#waiting.leave(call);
  }

  onConnected(link: Link): void {
    this.#plan.connected();
    this.onRoom(link);
  }

  onFailed(link: Link, why: string): void {
    this.#links.delete(link);
    this.#lastFailure = why;
    const isHopeless = this.#plan.failed(this.#clock.nowMs());
    if (isHopeless) this.#refuseWaiting(`cannot connect: ${why}`);
    this.#seekRoom();
    this.#settleDrained();
  }

  onEnding(link: Link): void {
    if (this.#current === link) this.#current = undefined;
    this.#plan.ended();
    this.#seekRoom();
  }

  onRoom(link: Link): void {
    const nowMs = this.#clock.nowMs();
    while (this.#waiting.size > 0 && link.isOpen && link.connection.canOpen) {
      const call = this.#waiting.takeFirst();
      const error = call && this.#start(link, call, nowMs);
      if (error !== undefined) call?.refuse(error);
    }
    this.#seekRoom();
  }

  onClosed(link: Link): void {
    this.#links.delete(link);
    this.#settleDrained();
  }

  #send(call: Outgoing, path: string): void {
    const nowMs = this.#clock.nowMs();
    if (call.deadlineMs <= nowMs) {
      call.refuse(expired(path, this.address));
      return;
    }
    const error = this.#begin(call, nowMs);
    if (error !== undefined) call.refuse(error);
    else this.#deadlines.note(call.deadlineMs);
  }

  /** Sends it, or lets it wait; undefined when it is on its way. */
  #begin(call: Outgoing, nowMs: number): StatusError | undefined {
    const link = this.#linkWithRoom();
    if (link !== undefined) return this.#start(link, call, nowMs);
    if (this.#isClosed) return this.#lost('the client was closed');
    const answer = this.#plan.ask(nowMs);
    if (answer === 'refuse') return this.#lost(`cannot connect: ${this.#lastFailure}`);
    const error = this.#waiting.enter(call);
    if (answer === 'dial') this.#dial();
    this.#awaitRoom();
    return error;
  }

  #start(link: Link, call: Outgoing, nowMs: number): StatusError | undefined {
    try {
      if (!call.start(link, nowMs)) return this.#waiting.enter(call);
    } catch (thrown) {
      return statusOf(thrown);
    }
    link.wake();
    return undefined;
  }

  #linkWithRoom(): Link | undefined {
    const current = this.#current;
    if (current?.connection.canOpen === true && current.isOpen) return current;
    for (const link of this.#links) {
      if (!(link.isOpen && link.connection.canOpen)) continue;
      this.#current = link;
      return link;
    }
    return undefined;
  }

  /** Calls wait: is there to be another connection, and when is that to be asked again? */
  #seekRoom(): void {
    if (this.#waiting.size === 0 || this.#isClosed) return;
    const answer = this.#plan.ask(this.#clock.nowMs());
    if (answer === 'dial') this.#dial();
    else if (answer === 'refuse') this.#refuseWaiting(`cannot connect: ${this.#lastFailure}`);
    this.#awaitRoom();
  }

  #awaitRoom(): void {
    for (const link of this.#links) {
      if (!link.isOpen) continue;
      // One that has used up its stream ids takes no more, without having been told to end.
      if (link.connection.isEnding) link.drain();
      else link.connection.awaitOpenable();
    }
    const atMs = this.#plan.wakeAtMs;
    if (atMs === Number.POSITIVE_INFINITY || this.#waiting.size === 0) return;
    this.#stopWakeTimer?.();
    this.#stopWakeTimer = this.#clock.after(atMs - this.#clock.nowMs(), () => this.#seekRoom());
  }

  #dial(): void {
    const link = new Link(this, this.#clock, this.#headers, this.#connection, this.#target);
    this.#links.add(link);
  }

  #expire(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    const look = (call: Outgoing): void => {
      if (call.deadlineMs <= nowMs) call.expire();
      else if (call.deadlineMs < nextMs) nextMs = call.deadlineMs;
    };
    for (const call of [...this.#waiting.all]) look(call);
    for (const link of [...this.#links]) {
      for (const stream of [...link.connection.streams]) look(stream.context as Outgoing);
    }
    return nextMs;
  }

  #refuseWaiting(why: string): void {
    for (const call of [...this.#waiting.all]) {
      if (this.#waiting.leave(call)) call.refuse(this.#lost(why));
    }
  }

  #stopTaking(): void {
    this.#isClosed = true;
    this.#stopWakeTimer?.();
    this.#refuseWaiting('the client was closed');
  }

  #settleDrained(): void {
    if (!this.#isClosed || this.#links.size > 0) return;
    this.#deadlines.stop();
    this.#drained.resolve();
  }

  #lost(why: string): ConnectionLost {
    return new ConnectionLost(`${this.address}: ${why}`, false);
  }
}

function connectionFor(options: ClientOptions): ConnectionOptions {
  const { keepalive = { timeMs: KEEPALIVE_TIME_MS, timeoutMs: KEEPALIVE_TIMEOUT_MS } } = options;
  return connectionOptions(false, {
    limits: {
      ...DEFAULT_LIMITS,
      keepaliveMs: keepalive.timeMs,
      keepaliveTimeoutMs: keepalive.timeoutMs,
      isKeptAliveIdle: false,
      // A callee that takes its time is held to the call's deadline, not to a limit of ours.
      stalledMs: Number.POSITIVE_INFINITY,
    },
  });
}
