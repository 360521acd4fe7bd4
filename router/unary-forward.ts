// A call for a model that comes as a whole message, as from another part of this process, or over a
// listener in front of nodes of this process: no bytes are moved between router and node.
import { Code, type StatusError, statusOf } from '../common/status.ts';
import { scanModelCall } from '../proto/oip/scan.ts';
import { type Backend, type Metadata, NO_METADATA, type UnaryCall } from '../transport/backend.ts';
import { Forward, type Forwarder, type Ready } from './forward.ts';
import { ForwardSpan } from './forward-span.ts';
import type { RouterMetrics } from './metrics.ts';
import { versionField } from './version-field.ts';

/** Reads which model the call is for, and sends it on. */
export function forwardUnary(call: UnaryCall, forwarder: Forwarder, metrics: RouterMetrics): void {
  const forward = new UnaryForward(call, forwarder);
  try {
    forward.isFor(scanModelCall(call.path, call.request));
  } catch (thrown) {
    const error = statusOf(thrown);
    metrics.answered('', false, error.code);
    forward.span?.ended('', error.code);
    call.fail(error);
    return;
  }
  call.onCancel = () => forward.cancel();
  forwarder.route(forward);
}

const NO_BYTES = new Uint8Array(0);

class UnaryForward extends Forward {
  readonly call: UnaryCall;
  readonly forwarder: Forwarder;
  #attempt: Attempt | undefined = undefined;
  #hedged: Attempt | undefined = undefined;
  /** As it was sent first. */
  #sentRequest: Uint8Array = NO_BYTES;
  #isHandedOver = false;

  constructor(call: UnaryCall, forwarder: Forwarder) {
    super();
    this.call = call;
    this.forwarder = forwarder;
    const { tracer } = forwarder;
    if (tracer !== undefined) this.span = ForwardSpan.begin(tracer, call);
  }

  get path(): string {
    return this.call.path;
  }
  get deadlineMs(): number {
    return this.call.deadlineMs;
  }
  get sizeBytes(): number {
    return this.call.request.byteLength;
  }
  get isGone(): boolean {
    return this.call.isCancelled;
  }
  get isKept(): boolean {
    return true;
  }

  send(route: Ready): void {
    const { upstream, call } = this;
    const version = this.versionToTell(route);
    this.#sentRequest = version === undefined ? call.request : withVersion(call, version);
    this.#attempt = new Attempt(this, this.#sentRequest);
    upstream?.backend.unary(this.#attempt);
  }

  override sendHedge(): boolean {
    const hedged = new Attempt(this, this.#sentRequest);
    this.#hedged = hedged;
    this.hedge?.backend.unary(hedged);
    return true;
  }

  override dropHedge(): void {
    this.#hedged?.cancel();
    this.#hedged = undefined;
  }

  override promoteHedge(): void {
    this.#attempt = this.#hedged;
    this.#hedged = undefined;
  }

  refuse(error: StatusError): void {
    this.call.fail(error);
  }

  override handOver(lead: Backend): boolean {
    this.#isHandedOver = true;
    this.span = undefined;
    this.#attempt = new Attempt(this, this.call.request);
    lead.unary(this.#attempt);
    return true;
  }

  cancel(): void {
    this.#attempt?.cancel();
    this.#answered(Code.CANCELLED);
  }

  succeeded(attempt: Attempt, response: Uint8Array, trailers?: Metadata): void {
    if (attempt === this.#hedged) {
      this.#attempt?.cancel();
      this.promoteHedge();
      this.forwarder.hedgeWon(this);
    }
    this.#answered(Code.OK);
    this.call.succeed(response, trailers);
  }

  failed(attempt: Attempt, error: StatusError, trailers?: Metadata): void {
    if (attempt === this.#hedged) {
      this.#hedged = undefined;
      this.forwarder.hedgeFailed(this, error);
      return;
    }
    if (!this.#isHandedOver && this.forwarder.goesElsewhere(this, error)) return;
    this.#answered(error.code);
    this.call.fail(error, trailers);
  }

  /** Whom it was handed over to has counted it. */
  #answered(code: Code): void {
    if (!this.#isHandedOver) this.forwarder.answered(this, code);
  }
}

/** One sending of a call to one node. */
class Attempt implements UnaryCall {
  readonly path: string;
  readonly metadata: Metadata;
  readonly deadlineMs: number;
  readonly peer: string;
  readonly request: Uint8Array;
  answerMetadata: Metadata = NO_METADATA;
  isCancelled = false;
  onCancel: (() => void) | undefined = undefined;
  readonly #forward: UnaryForward;
  #isDone = false;

  constructor(forward: UnaryForward, request: Uint8Array) {
    const { call, span } = forward;
    this.path = call.path;
    this.metadata = span === undefined ? call.metadata : span.metadata(call.metadata);
    this.deadlineMs = call.deadlineMs;
    this.peer = call.peer;
    this.request = request;
    this.#forward = forward;
  }

  succeed(response: Uint8Array, trailers?: Metadata): void {
    if (this.#isDone) return;
    this.#isDone = true;
    if (this.answerMetadata.length > 0) this.#forward.call.answerMetadata = this.answerMetadata;
    this.#forward.succeeded(this, response, trailers);
  }

  fail(error: StatusError, trailers?: Metadata): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#forward.failed(this, error, trailers);
  }

  cancel(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.isCancelled = true;
    this.onCancel?.();
  }
}

function withVersion({ path, request }: UnaryCall, version: number): Uint8Array {
  return Buffer.concat([request, versionField(path, version)]);
}
