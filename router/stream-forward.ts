// A stream for a model that comes as whole messages, as over a listener in front of nodes of this
// process. Its first message says which model it is for, and so which node: all that follow go
// there, whatever they name. It is never sent again once anything may have run.
import { Code, StatusError, statusOf } from '../common/status.ts';
import { scanModelCall } from '../proto/oip/scan.ts';
import { type Metadata, NO_METADATA, type StreamCall } from '../transport/backend.ts';
import { Forward, type Forwarder } from './forward.ts';
import { ForwardSpan } from './forward-span.ts';

/** Waits for the stream's first message, and sends it on. */
export function forwardStream(call: StreamCall, forwarder: Forwarder): void {
  new StreamForward(call, forwarder).begin();
}

class StreamForward extends Forward {
  readonly call: StreamCall;
  readonly forwarder: Forwarder;
  readonly deadlineMs: number;
  sizeBytes = 0;
  /** What came before there was a node: one message, or two, since it is paused at the first. */
  #early: Uint8Array[] = [];
  #isHalfClosed = false;
  #isBeginning = false;
  #hasAnswer = false;
  #leg: Leg | undefined = undefined;

  constructor(call: StreamCall, forwarder: Forwarder) {
    super();
    this.call = call;
    this.forwarder = forwarder;
    this.deadlineMs = Math.min(call.deadlineMs, forwarder.waitsUntilMs());
    this.span = ForwardSpan.begin(forwarder.tracer, call);
  }

  get path(): string {
    return this.call.path;
  }
  get isGone(): boolean {
    return this.call.isCancelled;
  }
  /** A stream of which anything but its first messages came can't be begun anew. */
  get isKept(): boolean {
    return this.#early.length > 0;
  }

  begin(): void {
    const { call } = this;
    call.onMessage = (message) => this.#take(message);
    call.onHalfClose = () => this.#halfClose();
    call.onDrain = () => this.#leg?.onDrain?.();
    call.onCancel = () => this.#cancel();
  }

  send(): void {
    const leg = new Leg(this);
    this.#leg = leg;
    this.upstream?.backend.stream(leg);
    this.#isBeginning = true;
    for (const message of this.#early) leg.onMessage?.(message);
    this.#isBeginning = false;
    if (this.#isHalfClosed) leg.onHalfClose?.();
    else if (!leg.isPaused) this.call.resume();
  }

  /** Not before what came early has gone: messages stay in their order. */
  resume(): void {
    if (!this.#isBeginning) this.call.resume();
  }

  refuse(error: StatusError): void {
    this.call.fail(error);
  }

  answer(message: Uint8Array): boolean {
    this.#hasAnswer = true;
    this.#early = [];
    return this.call.send(message);
  }

  ended(trailers?: Metadata): void {
    this.forwarder.answered(this, Code.OK);
    this.call.end(trailers);
  }

  failed(error: StatusError, trailers?: Metadata): void {
    if (!this.#hasAnswer && this.forwarder.goesElsewhere(this, error)) return;
    this.forwarder.answered(this, error.code);
    this.call.fail(error, trailers);
  }

  #take(message: Uint8Array): void {
    const leg = this.#leg;
    if (leg !== undefined && !leg.isDone) {
      this.#early = [];
      leg.onMessage?.(message);
      return;
    }
    this.#early.push(message);
    if (this.#early.length > 1) return;
    this.sizeBytes = message.length;
    this.call.pause();
    if (this.#name(message)) this.forwarder.route(this);
  }

  #name(message: Uint8Array): boolean {
    try {
      this.isFor(scanModelCall(this.path, message));
      return true;
    } catch (thrown) {
      this.forwarder.refuse(this, statusOf(thrown));
      return false;
    }
  }

  #halfClose(): void {
    this.#isHalfClosed = true;
    if (this.#leg !== undefined) this.#leg.onHalfClose?.();
    else if (this.#early.length === 0) {
      const text = `${this.path} takes at least one request, got none`;
      this.forwarder.refuse(this, new StatusError(Code.UNIMPLEMENTED, text));
    }
  }

  #cancel(): void {
    this.#leg?.cancel();
    this.forwarder.answered(this, Code.CANCELLED);
  }
}

/** The stream on its way to one node. */
class Leg implements StreamCall {
  onMessage: ((message: Uint8Array) => void) | undefined = undefined;
  onHalfClose: (() => void) | undefined = undefined;
  onDrain: (() => void) | undefined = undefined;
  onCancel: (() => void) | undefined = undefined;
  isCancelled = false;
  isPaused = false;
  isDone = false;
  readonly #forward: StreamForward;

  constructor(forward: StreamForward) {
    this.#forward = forward;
  }

  get path(): string {
    return this.#forward.call.path;
  }
  get metadata(): Metadata {
    const { call, span } = this.#forward;
    return span === undefined ? call.metadata : span.metadata(call.metadata);
  }
  /** The caller's own, if it has one. */
  get deadlineMs(): number {
    return this.#forward.call.deadlineMs;
  }
  get peer(): string {
    return this.#forward.call.peer;
  }

  get answerMetadata(): Metadata {
    return this.#forward.call.answerMetadata ?? NO_METADATA;
  }
  set answerMetadata(metadata: Metadata) {
    if (!this.isDone) this.#forward.call.answerMetadata = metadata;
  }

  send(message: Uint8Array): boolean {
    return !this.isDone && this.#forward.answer(message);
  }

  end(trailers?: Metadata): void {
    if (this.#finish()) this.#forward.ended(trailers);
  }

  fail(error: StatusError, trailers?: Metadata): void {
    if (this.#finish()) this.#forward.failed(error, trailers);
  }

  pause(): void {
    this.isPaused = true;
    if (!this.isDone) this.#forward.call.pause();
  }

  resume(): void {
    this.isPaused = false;
    if (!this.isDone) this.#forward.resume();
  }

  cancel(): void {
    if (!this.#finish()) return;
    this.isCancelled = true;
    this.onCancel?.();
  }

  #finish(): boolean {
    if (this.isDone) return false;
    this.isDone = true;
    return true;
  }
}
