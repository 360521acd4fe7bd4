// The connections of one client: dials when calls find no room, lets them wait in order meanwhile,
// and gives each to a connection that has room.
import type { Clock } from '../../common/clock.ts';
import { type StatusError, statusOf } from '../../common/status.ts';
import { ConnectionLost } from '../backend.ts';
import type { ConnectionOptions } from '../http2/connection/connection-state.ts';
import type { LimitName } from '../http2/connection/limits.ts';
import type { DialOptions } from './dial.ts';
import type { DialPlan } from './dial-plan.ts';
import { Link, type LinkOwner } from './link.ts';
import type { Outgoing } from './outgoing.ts';
import type { RequestHeaders } from './request-headers.ts';
import { WaitingCalls } from './waiting-calls.ts';

const CLOSED = 'the client was closed';

export interface LinkPoolOptions {
  /** For messages of errors. */
  readonly address: string;
  readonly target: DialOptions;
  readonly connection: ConnectionOptions;
  readonly headers: RequestHeaders;
  readonly plan: DialPlan;
  readonly clock: Clock;
  readonly onLimit: (name: LimitName) => void;
}

/** 'failed': the last attempt failed and the next is not yet due; or closed. */
export type ClientState = 'ready' | 'connecting' | 'failed';

export class LinkPool implements LinkOwner {
  readonly waiting = new WaitingCalls();
  readonly #options: LinkPoolOptions;
  readonly #clock: Clock;
  readonly #plan: DialPlan;
  /** Those that are dialing, take calls, or have calls that still run. */
  readonly #links = new Set<Link>();
  /** The one that took the last call. */
  #current: Link | undefined;
  #lastFailure = '';
  #isClosed = false;
  #stopTimer: (() => void) | undefined;
  readonly #emptied = Promise.withResolvers<void>();

  constructor(options: LinkPoolOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#plan = options.plan;
  }

  get links(): ReadonlySet<Link> {
    return this.#links;
  }

  /** Whether a timer runs: to look for room again. */
  get isArmed(): boolean {
    return this.#stopTimer !== undefined;
  }

  /** Sends the call, or lets it wait: then undefined. Otherwise why it will not be sent. */
  begin(call: Outgoing, nowMs: number): StatusError | undefined {
    const link = this.#linkWithRoom();
    if (link !== undefined) return this.#start(link, call, nowMs);
    if (this.#isClosed) return this.#lost(CLOSED);
    const answer = this.#plan.ask(nowMs);
    if (answer === 'refuse') return this.#lost(`cannot connect: ${this.#lastFailure}`);
    const error = this.waiting.enter(call);
    if (answer === 'dial') this.#dial();
    this.#awaitRoom();
    return error;
  }

  /** Dials when nothing is there. */
  state(): ClientState {
    const nowMs = this.#clock.nowMs();
    if (this.#isClosed) return 'failed';
    for (const link of this.#links) if (link.isOpen) return 'ready';
    if (this.#plan.isRefusing(nowMs)) return 'failed';
    if (this.#plan.ask(nowMs) === 'dial') this.#dial();
    return 'connecting';
  }

  /** Takes no more calls; resolves when those that were sent have ended and no socket is left. */
  drain(): Promise<void> {
    this.#stopTaking();
    for (const link of [...this.#links]) link.drain();
    this.#tellEmptied();
    return this.#emptied.promise;
  }

  close(): void {
    this.#stopTaking();
    for (const link of [...this.#links]) link.close();
    this.#tellEmptied();
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
    this.#tellEmptied();
  }

  onEnding(link: Link): void {
    if (this.#current === link) this.#current = undefined;
    this.#plan.ended();
    this.#seekRoom();
  }

  onRoom(link: Link): void {
    const nowMs = this.#clock.nowMs();
    while (this.waiting.size > 0 && link.isOpen && link.connection.canOpen) {
      const call = this.waiting.takeFirst();
      const error = call && this.#start(link, call, nowMs);
      if (error !== undefined) call?.refuse(error);
    }
    this.#seekRoom();
  }

  onClosed(link: Link): void {
    this.#links.delete(link);
    this.#tellEmptied();
  }

  onLimit(name: LimitName): void {
    this.#options.onLimit(name);
  }

  #start(link: Link, call: Outgoing, nowMs: number): StatusError | undefined {
    try {
      if (!call.start(link, nowMs)) return this.waiting.enter(call);
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
    if (this.waiting.size === 0 || this.#isClosed) return;
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
    if (atMs === Number.POSITIVE_INFINITY || this.waiting.size === 0) return;
    this.#stopTimer?.();
    this.#stopTimer = this.#clock.after(atMs - this.#clock.nowMs(), () => {
      this.#stopTimer = undefined;
      this.#seekRoom();
    });
  }

  #dial(): void {
    this.#links.add(new Link(this, this.#clock, this.#options));
  }

  #refuseWaiting(why: string): void {
    for (const call of [...this.waiting.all]) {
      if (this.waiting.leave(call)) call.refuse(this.#lost(why));
    }
  }

  #stopTaking(): void {
    this.#isClosed = true;
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#refuseWaiting(CLOSED);
  }

  #tellEmptied(): void {
    if (!this.#isClosed || this.#links.size > 0) return;
    this.#emptied.resolve();
  }

  #lost(why: string): ConnectionLost {
    return new ConnectionLost(`${this.#options.address}: ${why}`, false);
  }
}
