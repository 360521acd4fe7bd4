// Calls that name a model, on their way: find the READY copies, pick one, and when its node is lost
// on the way or says no, go to another where that is safe, or wait for a copy. How a call is sent
// and answered is its own matter: whole messages (unary-forward.ts) or bytes as they come
// (passed-forward.ts).
import type { Clock } from '../common/clock.ts';
import { parseVersion } from '../common/names.ts';
import { Code, type StatusError } from '../common/status.ts';
import type { CallTracer } from '../common/tracing/call-tracer.ts';
import type { ModelCall } from '../proto/oip/scan.ts';
import { isServingPath, PREDICTION_SERVICE } from '../proto/tfs/services.ts';
import { servableNotFound, unknownLabel } from '../proto/tfs/words.ts';
import { type Backend, ConnectionLost, DEFAULT_DEADLINE_MS } from '../transport/backend.ts';
import { lessLoadedOfTwo, stickyChoice } from './balance.ts';
import type { ForwardSpan } from './forward-span.ts';
import { HedgeDelays } from './hedge-delay.ts';
import { Hedging } from './hedging.ts';
import type { RouterMetrics } from './metrics.ts';
import { RetryBudget } from './retry-budget.ts';
import type { Resolution, RouteTable } from './route-table.ts';
import type { SlowCopies } from './slow-copies.ts';
import type { Upstream, Upstreams } from './upstreams.ts';
import { takesVersion } from './version-field.ts';
import { type Waiter, type WaitingRoom, waitedInVain } from './waiting.ts';

/**
 * How often a call that a lost node may have run is sent again, if the model's policy says that
 * this is safe. Once: a request that kills nodes would otherwise kill one after the other.
 */
export const MAX_RESENDS = 1;

export const MODEL_INFER = '/inference.GRPCInferenceService/ModelInfer';
export const MODEL_STREAM_INFER = '/inference.GRPCInferenceService/ModelStreamInfer';

/** Calls that run a model: sent again only where the model's policy says that this does no harm. */
const INFERENCES: ReadonlySet<string> = new Set([
  MODEL_INFER,
  ...['Predict', 'Classify', 'Regress', 'MultiInference'].map(
    (method) => `/${PREDICTION_SERVICE}/${method}`,
  ),
]);
/** 1 to 2^53 - 1, in all its digits: what parseVersion takes. */
const SERVABLE_VERSION = /^[1-9]\d{0,14}$/;

export interface ForwarderOptions {
  readonly table: RouteTable;
  readonly upstreams: Upstreams;
  readonly room: WaitingRoom<Forward>;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly metrics: RouterMetrics;
  readonly slowCopies: SlowCopies;
  /** Undefined: no call is recorded. */
  readonly tracer?: CallTracer | undefined;
  /**
   * Where there is one, it gets what would be refused or would wait here: it has the last word.
   * Undefined: this router has.
   */
  readonly lead: Backend | undefined;
}

export type Ready = Extract<Resolution, { kind: 'ready' }>;

/** One call from its coming to its answer. */
export abstract class Forward implements Waiter {
  model = '';
  version: number | undefined = undefined;
  /** '' for a call of no sequence. */
  sequenceId = '';
  resends = 0;
  /** Nodes that said that they don't have the model, or take no more. */
  strangers: ReadonlySet<string> = NOBODY;
  /** What the last of them said. */
  refusal: StatusError | undefined = undefined;
  /** Where it is now; undefined: nowhere. */
  upstream: Upstream | undefined = undefined;
  sentMs = 0;
  isRetry = false;
  isIdempotent = true;
  /** Its model's calls may be sent to a second copy when they take long. */
  isHedged = false;
  /** Where it was sent as well; undefined: nowhere. */
  hedge: Upstream | undefined = undefined;
  hedgeSentMs = 0;
  stopHedge: (() => void) | undefined = undefined;
  /** Undefined: it is not recorded. */
  span: ForwardSpan | undefined = undefined;

  abstract readonly path: string;
  abstract readonly deadlineMs: number;
  abstract readonly sizeBytes: number;
  /** Its caller has gone. */
  abstract readonly isGone: boolean;
  /** It can be sent once more, whole. */
  abstract readonly isKept: boolean;

  /** Sends it to where Forward.upstream says. */
  abstract send(route: Ready): void;
  /** Sends it to Forward.hedge too, as it was sent first. False: it can't be. */
  sendHedge(): boolean {
    return false;
  }
  /** Takes that back. */
  dropHedge(): void {}
  /** The first sending has failed: what Forward.hedge answers is the answer. */
  promoteHedge(): void {}

  /** Answers it; nothing of an answer has left yet. */
  abstract refuse(error: StatusError): void;

  /** Gives it away, whole, to who also counts it. False: it can't be. */
  handOver(_lead: Backend): boolean {
    return false;
  }

  /** It stays with its node for as long as it lives. */
  get isStream(): boolean {
    return this.path === MODEL_STREAM_INFER;
  }

  /** Running it twice does no harm. */
  get isRepeatable(): boolean {
    if (this.isStream) return false;
    return !INFERENCES.has(this.path) || (this.isIdempotent && this.sequenceId === '');
  }

  /** Which version the node must be told; undefined: the call says it, or there is just one. */
  versionToTell(route: Ready): number | undefined {
    if (this.version !== undefined || !route.isOneOfSeveral) return undefined;
    return takesVersion(this.path) ? route.version : undefined;
  }

  /** What its request says. @throws StatusError when no such model can be asked for */
  isFor(named: ModelCall | undefined): void {
    const { model = '', version = '', label = '', sequence } = named ?? {};
    if (isServingPath(this.path)) {
      if (label !== '') throw unknownLabel(label);
      if (version !== '' && !SERVABLE_VERSION.test(version)) {
        throw servableNotFound(model, version);
      }
    }
    this.version = parseVersion(version);
    this.model = model;
    this.sequenceId = sequence?.id ?? '';
  }
}

const NOBODY: ReadonlySet<string> = new Set();
const NONE: readonly string[] = [];

export class Forwarder {
  /** For calls as they come. */
  readonly tracer: CallTracer | undefined;
  readonly #options: ForwarderOptions;
  readonly #budget = new RetryBudget();
  readonly #delays = new HedgeDelays();
  readonly #hedging: Hedging;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #stopTimer = (): void => {};

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.tracer = options.tracer;
    this.#hedging = new Hedging({ ...options, budget: this.#budget, delays: this.#delays });
  }

  /** The table or the nodes changed: calls that wait may go on. */
  changed(): void {
    const { room } = this.#options;
    if (room.calls === 0) return;
    for (const forward of room.release((one) => !this.#mustWait(one))) this.route(forward);
    this.#rearm();
  }

  /** Everything that waits is told that the router goes. */
  stop(error: StatusError): void {
    this.#stopTimer();
    for (const forward of this.#options.room.release(() => true)) this.refuse(forward, error);
  }

  /**
   * Sends it on, or lets it wait, or refuses it. Its model is known by now.
   * @param nowMs where the time is known already: reading it costs something
   */
  route(forward: Forward, nowMs = this.#options.clock.nowMs()): void {
    const { table, random } = this.#options;
    const route = table.resolve(forward.model, forward.version, random);
    if (route.kind === 'ready') this.#send(forward, route, nowMs);
    else if (route.kind === 'waiting') this.#wait(forward);
    else if (!this.#handsOver(forward)) this.refuse(forward, worded(forward, route.error));
  }

  /** The latest moment at which a call without a deadline of its own still waits for a copy. */
  waitsUntilMs(): number {
    return this.#options.clock.nowMs() + DEFAULT_DEADLINE_MS;
  }

  /** Counts it, and answers it. */
  refuse(forward: Forward, error: StatusError): void {
    this.#count(forward, error.code);
    forward.refuse(error);
  }

  /** The second sending of a hedged call is the one that answers. */
  hedgeWon(forward: Forward): void {
    const { upstream } = forward;
    const nowMs = this.#options.clock.nowMs();
    if (upstream !== undefined) {
      this.#options.slowCopies.note(forward.model, upstream.id, nowMs - forward.sentMs);
    }
    this.#hedging.promoted(forward);
  }

  /** It came to nothing. */
  hedgeFailed(forward: Forward, error: StatusError): void {
    const { hedge } = forward;
    if (hedge === undefined) return;
    this.#options.upstreams.failed(hedge, forward.model, error, this.#options.clock.nowMs());
    this.#hedging.lost(forward);
  }

  /** The first sending answers: the second is taken back. */
  hedgeDone(forward: Forward): void {
    this.#hedging.ended(forward);
  }

  /** It is over: its caller has an answer, or has gone (CANCELLED). @param nowMs as route() */
  answered(forward: Forward, code: Code, nowMs?: number): void {
    const { upstream } = forward;
    if (upstream !== undefined) {
      const endMs = nowMs ?? this.#options.clock.nowMs();
      this.#options.upstreams.answered(upstream, forward.model, code, endMs);
      if (code === Code.OK && !forward.isStream) {
        const latencyMs = endMs - forward.sentMs;
        this.#options.slowCopies.note(forward.model, upstream.id, latencyMs);
        if (forward.isHedged) this.#delays.note(forward.model, latencyMs);
      }
      if (forward.isHedged) this.#hedging.ended(forward);
      this.#left(forward, endMs);
    } else if (this.#options.room.leave(forward)) this.#rearm();
    this.#count(forward, code);
  }

  /**
   * No answer comes of where it was sent, or one that says no. True: it is on its way again; false:
   * the caller gets that answer.
   */
  goesElsewhere(forward: Forward, error: StatusError): boolean {
    const { upstream } = forward;
    if (upstream === undefined) return false;
    const nowMs = this.#options.clock.nowMs();
    this.#options.upstreams.failed(upstream, forward.model, error, nowMs);
    if (forward.hedge !== undefined) {
      forward.promoteHedge();
      this.#hedging.promoted(forward);
      return true;
    }
    if (forward.isHedged) this.#hedging.ended(forward);
    this.#left(forward, nowMs);
    if (maySendAgain(forward, error)) this.#options.metrics.retried('connection-lost');
    else if (!this.#mayAskAnother(forward, upstream, error)) return false;
    this.route(forward, nowMs);
    return true;
  }

  #send(forward: Forward, route: Ready, nowMs: number): void {
    const { upstreams, random } = this.#options;
    const candidates = upstreams.usable(route.nodes, nowMs, forward.strangers, forward.model);
    const { sequenceId } = forward;
    const upstream =
      sequenceId === ''
        ? lessLoadedOfTwo(candidates, random)
        : stickyChoice(candidates, `${forward.model}\u0000${sequenceId}`);
    if (upstream === undefined) {
      this.#wait(forward, route.nodes);
      return;
    }
    if (upstream.outstanding === 0) upstream.heardMs = nowMs;
    upstream.outstanding += 1;
    this.#budget.began();
    forward.upstream = upstream;
    forward.sentMs = nowMs;
    if (forward.span !== undefined) forward.span.sent(upstream.id, route.version);
    forward.isIdempotent = route.isIdempotent;
    forward.isHedged = route.isHedged;
    forward.send(route);
    if (route.isHedged && forward.upstream === upstream) this.#hedging.sent(forward, route);
  }

  /** A node has said no: another one may know better, once. */
  #mayAskAnother(forward: Forward, asked: Upstream, error: StatusError): boolean {
    if (forward.isGone || forward.strangers.size > 0 || !forward.isKept) return false;
    const isSafe = error.code === Code.UNAVAILABLE && forward.isRepeatable;
    if (error.code !== Code.NOT_FOUND && !isSafe) return false;
    if (error instanceof ConnectionLost || !this.#budget.tryRetry()) return false;
    forward.isRetry = true;
    this.#options.metrics.retried(error.code === Code.NOT_FOUND ? 'not-found' : 'unavailable');
    forward.strangers = new Set([asked.id]);
    forward.refusal = error;
    return true;
  }

  #left(forward: Forward, nowMs: number): void {
    const { upstream } = forward;
    if (upstream === undefined) return;
    if (!forward.isStream) this.#options.metrics.upstream(nowMs - forward.sentMs);
    upstream.outstanding -= 1;
    forward.upstream = undefined;
    this.#budget.ended(forward.isRetry);
    forward.isRetry = false;
  }

  #mustWait(forward: Forward): boolean {
    const { table, upstreams, clock, random } = this.#options;
    const route = table.resolve(forward.model, forward.version, random);
    if (route.kind !== 'ready') return route.kind === 'waiting';
    const nowMs = clock.nowMs();
    return upstreams.usable(route.nodes, nowMs, forward.strangers, forward.model).length === 0;
  }

  /** What a node has said no to is answered so: the lead would ask it once more. */
  #handsOver(forward: Forward): boolean {
    const { lead } = this.#options;
    return lead !== undefined && forward.refusal === undefined && forward.handOver(lead);
  }

  /** @param ready nodes that have it, though none can be tried now */
  #wait(forward: Forward, ready: readonly string[] = NONE): void {
    if (this.#handsOver(forward)) return;
    // A node that was asked has said no, and no other is there: that is the answer. But that it
    // does not have the model says nothing while another one has it, and only can't be reached.
    const { refusal: said, strangers } = forward;
    const mayKnow = said?.code === Code.NOT_FOUND && ready.some((id) => !strangers.has(id));
    const refusal = (mayKnow ? undefined : said) ?? this.#options.room.enter(forward);
    if (refusal === undefined) this.#rearm();
    else this.refuse(forward, refusal);
  }

  /** One timer, for whoever's time is up next, or the end of the next suspicion. */
  #rearm(): void {
    const { room, upstreams, clock } = this.#options;
    const nowMs = clock.nowMs();
    const nextMs =
      room.calls === 0
        ? Number.POSITIVE_INFINITY
        : Math.min(room.nextExpiryMs(), upstreams.nextTrustMs(nowMs));
    if (nextMs === this.#wakeAtMs) return;
    this.#stopTimer();
    this.#wakeAtMs = nextMs;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#stopTimer = clock.after(nextMs - nowMs, () => this.#wake());
  }

  #wake(): void {
    const { room, clock } = this.#options;
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    for (const forward of room.expired(clock.nowMs())) {
      this.refuse(forward, waitedInVain(forward.model));
    }
    this.changed();
    this.#rearm();
  }

  #count(forward: Forward, code: Code): void {
    const { metrics, table } = this.#options;
    metrics.answered(forward.model, table.isKnown(forward.model), code);
    if (forward.span !== undefined) forward.span.ended(forward.model, code);
  }
}

/** Clients of TensorFlow Serving look for its own words. */
function worded(forward: Forward, error: StatusError): StatusError {
  if (error.code !== Code.NOT_FOUND || !isServingPath(forward.path)) return error;
  return servableNotFound(
    forward.model,
    forward.version === undefined ? '' : String(forward.version),
  );
}

/** Counts the resend that it allows. */
function maySendAgain(forward: Forward, error: StatusError): boolean {
  if (!(error instanceof ConnectionLost) || forward.isGone || !forward.isKept) return false;
  if (!error.mayHaveRun) return true;
  if (!forward.isRepeatable || forward.resends >= MAX_RESENDS) return false;
  forward.resends += 1;
  return true;
}
