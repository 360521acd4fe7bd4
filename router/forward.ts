// Calls that name a model, on their way: read the name, find the READY copies, send the bytes on as
// they came, and when a node is lost on the way, send them again where that is safe, or wait for a
// copy.
import type { Clock } from '../common/clock.ts';
import { parseVersion } from '../common/names.ts';
import { Code, type StatusError, statusOf } from '../common/status.ts';
import { scanModelCall } from '../proto/oip/scan.ts';
import { ConnectionLost, type Metadata, type UnaryCall } from '../transport/backend.ts';
import { lessLoadedOfTwo, stickyChoice } from './balance.ts';
import type { RouterMetrics } from './metrics.ts';
import type { Resolution, RouteTable } from './route-table.ts';
import { suspect, type Upstream, type Upstreams } from './upstreams.ts';
import { type Waiter, type WaitingRoom, waitedInVain } from './waiting.ts';

/**
 * How often a call that a lost node may have run is sent again, if the model's policy says that
 * this is safe. Once: a request that kills nodes would otherwise kill one after the other.
 */
export const MAX_RESENDS = 1;

export const MODEL_INFER = '/inference.GRPCInferenceService/ModelInfer';

export interface ForwarderOptions {
  readonly table: RouteTable;
  readonly upstreams: Upstreams;
  readonly room: WaitingRoom<Forward>;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly metrics: RouterMetrics;
}

type Ready = Extract<Resolution, { kind: 'ready' }>;

/** One call from its coming to its answer. */
export class Forward implements Waiter {
  readonly call: UnaryCall;
  readonly model: string;
  readonly version: number | undefined;
  /** '' for a call of no sequence. */
  readonly sequenceId: string;
  readonly sizeBytes: number;
  readonly deadlineMs: number;
  resends = 0;
  /** Nodes that said that they don't have the model, and what the last of them said. */
  readonly strangers = new Set<string>();
  refusal: StatusError | undefined;
  attempt: Attempt | undefined;

  constructor(call: UnaryCall, model: string, version: number | undefined, sequenceId: string) {
    this.call = call;
    this.model = model;
    this.version = version;
    this.sequenceId = sequenceId;
    this.sizeBytes = call.request.byteLength;
    this.deadlineMs = call.deadlineMs;
  }
}

/** One sending of a call to one node. */
class Attempt implements UnaryCall {
  readonly path: string;
  readonly metadata: Metadata;
  readonly deadlineMs: number;
  readonly peer: string;
  readonly request: Uint8Array;
  readonly upstream: Upstream;
  readonly sentMs: number;
  readonly isRepeatable: boolean;
  isCancelled = false;
  onCancel: (() => void) | undefined;
  readonly #forward: Forward;
  readonly #owner: Forwarder;
  #isDone = false;

  constructor(
    forward: Forward,
    upstream: Upstream,
    route: Ready,
    sentMs: number,
    owner: Forwarder,
  ) {
    const { call } = forward;
    this.path = call.path;
    this.metadata = call.metadata;
    this.deadlineMs = call.deadlineMs;
    this.peer = call.peer;
    const needsVersion = forward.version === undefined && route.isOneOfSeveral;
    this.request = needsVersion ? withVersion(call.request, route.version) : call.request;
    const isStateful = forward.sequenceId !== '' || !route.isIdempotent;
    this.isRepeatable = call.path !== MODEL_INFER || !isStateful;
    this.upstream = upstream;
    this.sentMs = sentMs;
    this.#forward = forward;
    this.#owner = owner;
    upstream.outstanding++;
  }

  succeed(response: Uint8Array, trailers?: Metadata): void {
    if (!this.#finish()) return;
    this.#owner.succeeded(this.#forward, this, response, trailers);
  }

  fail(error: StatusError, trailers?: Metadata): void {
    if (!this.#finish()) return;
    this.#owner.failed(this.#forward, this, error, trailers);
  }

  cancel(): void {
    if (!this.#finish()) return;
    this.isCancelled = true;
    this.onCancel?.();
  }

  #finish(): boolean {
    if (this.#isDone) return false;
    this.#isDone = true;
    this.upstream.outstanding--;
    return true;
  }
}

/** Field 2, model_version, once more at the end: of a scalar that comes twice the last counts. */
function withVersion(request: Uint8Array, version: number): Uint8Array {
  const digits = String(version);
  const result = new Uint8Array(request.byteLength + 2 + digits.length);
  result.set(request);
  result[request.byteLength] = (2 << 3) | 2;
  result[request.byteLength + 1] = digits.length;
  for (let at = 0; at < digits.length; at++) {
    result[request.byteLength + 2 + at] = digits.charCodeAt(at);
  }
  return result;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #stopTimer = (): void => {};

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  unary(call: UnaryCall): void {
    let forward: Forward;
    try {
      const named = scanModelCall(call.path, call.request);
      const version = parseVersion(named?.version ?? '');
      forward = new Forward(call, named?.model ?? '', version, named?.sequence?.id ?? '');
    } catch (thrown) {
      const error = statusOf(thrown);
      this.#options.metrics.answered('', false, error.code);
      call.fail(error);
      return;
    }
    call.onCancel = () => this.#cancel(forward);
    this.#route(forward);
  }

  /** The table or the nodes changed: calls that wait may go on. */
  changed(): void {
    const { room } = this.#options;
    if (room.calls === 0) return;
    for (const forward of room.release((one) => !this.#mustWait(one))) this.#route(forward);
    this.#rearm();
  }

  /** Everything that waits is told that the router goes. */
  stop(error: StatusError): void {
    this.#stopTimer();
    for (const forward of this.#options.room.release(() => true)) this.#refuse(forward, error);
  }

  succeeded(forward: Forward, attempt: Attempt, response: Uint8Array, trailers?: Metadata): void {
    this.#ended(forward, attempt, Code.OK);
    forward.call.succeed(response, trailers);
  }

  failed(forward: Forward, attempt: Attempt, error: StatusError, trailers?: Metadata): void {
    const { clock, metrics } = this.#options;
    suspect(attempt.upstream, error, clock.nowMs());
    if (maySendAgain(forward, attempt, error)) {
      metrics.upstream(clock.nowMs() - attempt.sentMs);
      metrics.resent();
      this.#route(forward);
      return;
    }
    if (error.code === Code.NOT_FOUND && forward.strangers.size === 0) {
      forward.strangers.add(attempt.upstream.id);
      forward.refusal = error;
      metrics.upstream(clock.nowMs() - attempt.sentMs);
      this.#route(forward);
      return;
    }
    this.#ended(forward, attempt, error.code);
    forward.call.fail(error, trailers);
  }

  #route(forward: Forward): void {
    const { table, clock, random } = this.#options;
    const route = table.resolve(forward.model, forward.version, random);
    if (route.kind === 'refused') this.#refuse(forward, route.error);
    else if (route.kind === 'waiting') this.#wait(forward);
    else this.#send(forward, route, clock.nowMs());
  }

  #send(forward: Forward, route: Ready, nowMs: number): void {
    const { upstreams, random } = this.#options;
    const candidates = upstreams.usable(route.nodes, nowMs, forward.strangers);
    const { sequenceId } = forward;
    const upstream =
      sequenceId === ''
        ? lessLoadedOfTwo(candidates, random)
        : stickyChoice(candidates, `${forward.model}\u0000${sequenceId}`);
    if (upstream === undefined) {
      this.#wait(forward);
      return;
    }
    forward.attempt = new Attempt(forward, upstream, route, nowMs, this);
    upstream.backend.unary(forward.attempt);
  }

  #mustWait(forward: Forward): boolean {
    const { table, upstreams, clock, random } = this.#options;
    const route = table.resolve(forward.model, forward.version, random);
    if (route.kind !== 'ready') return route.kind === 'waiting';
    return upstreams.usable(route.nodes, clock.nowMs(), forward.strangers).length === 0;
  }

  #wait(forward: Forward): void {
    // A node that was asked has said no, and no other is there: that is the answer.
    const refusal = forward.refusal ?? this.#options.room.enter(forward);
    if (refusal === undefined) this.#rearm();
    else this.#refuse(forward, refusal);
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
      this.#refuse(forward, waitedInVain(forward.model));
    }
    this.changed();
    this.#rearm();
  }

  #cancel(forward: Forward): void {
    if (this.#options.room.leave(forward)) this.#rearm();
    forward.attempt?.cancel();
    this.#count(forward, Code.CANCELLED);
  }

  #refuse(forward: Forward, error: StatusError): void {
    this.#count(forward, error.code);
    forward.call.fail(error);
  }

  #ended(forward: Forward, attempt: Attempt, code: Code): void {
    const { metrics, clock } = this.#options;
    metrics.upstream(clock.nowMs() - attempt.sentMs);
    this.#count(forward, code);
  }

  #count(forward: Forward, code: Code): void {
    const { metrics, table } = this.#options;
    metrics.answered(forward.model, table.isKnown(forward.model), code);
  }
}

/** Counts the resend that it allows. */
function maySendAgain(forward: Forward, attempt: Attempt, error: StatusError): boolean {
  if (!(error instanceof ConnectionLost) || forward.call.isCancelled) return false;
  if (!error.mayHaveRun) return true;
  if (!attempt.isRepeatable || forward.resends >= MAX_RESENDS) return false;
  forward.resends++;
  return true;
}
