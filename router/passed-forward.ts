// A call for a model whose bytes are passed on as they come, between a listener's caller and a node
// behind a connection: headers, content and trailers unchanged both ways, compressed or not. Flow
// control goes through, so of a large message no more than a window is ever here.
import { Code, StatusError, statusOf } from '../common/status.ts';
import { lossOf } from '../transport/client/outgoing.ts';
import { messagePrefix, PREFIX_BYTES } from '../transport/grpc/message-prefix.ts';
import { readCode, readOutcome } from '../transport/grpc/status-fields.ts';
import { ErrorCode } from '../transport/http2/frames/constants.ts';
import type { HeaderField } from '../transport/http2/hpack/header-field.ts';
import type { RawCall, RawCallee, RawRequest } from '../transport/raw-call.ts';
import { Forward, type Ready } from './forward.ts';
import { ForwardSpan } from './forward-span.ts';
import { type HedgedCall, HedgeLeg, sendWhole } from './hedge-leg.ts';
import type { PassOn } from './pass-on.ts';
import { PassedRequest } from './passed-request.ts';
import { versionField } from './version-field.ts';

const NO_BYTES = new Uint8Array(0);

export class PassedForward extends Forward implements RawCallee, HedgedCall {
  readonly #call: RawCall;
  readonly #isStream: boolean;
  readonly #owner: PassOn;
  readonly #request: PassedRequest;
  /** To the node; undefined: it is on its way to none. */
  #out: RawRequest | undefined = undefined;
  /** To a second node as well. */
  #hedged: HedgeLeg | undefined = undefined;
  /** Of the request's pieces, those that were given to this node. */
  #sentPieces = 0;
  #isPrefixSent = false;
  #isEndSent = false;
  /** To be put behind the message: the version. */
  #suffix: Uint8Array = NO_BYTES;
  /** Came, and the caller may not send as many more before they have left. */
  #unconsumedBytes = 0;
  #unconsumedAnswerBytes = 0;
  #heldBytes = 0;
  /** For a copy: a stream without a deadline waits no longer than other calls. */
  #waitsUntilMs = Number.POSITIVE_INFINITY;
  #hasAnswer = false;
  #isDone = false;

  constructor(call: RawCall, isStream: boolean, owner: PassOn) {
    super();
    this.#call = call;
    this.#isStream = isStream;
    this.#owner = owner;
    const { tracer } = owner.forwarder;
    if (tracer !== undefined) this.span = ForwardSpan.begin(tracer, call);
    this.#request = new PassedRequest(call.path, isStream, owner.maxMessageBytes);
  }

  get path(): string {
    return this.#call.path;
  }
  get deadlineMs(): number {
    return Math.min(this.#call.deadlineMs, this.#waitsUntilMs);
  }
  get sizeBytes(): number {
    return this.#request.sizeBytes;
  }
  get isGone(): boolean {
    return this.#isDone;
  }
  get isKept(): boolean {
    return this.#request.isKept;
  }

  onRequestData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    const piece = end - start === bytes.length ? bytes : bytes.subarray(start, end);
    this.#unconsumedBytes += piece.length;
    if (this.#isDone) {
      this.#consume();
      return;
    }
    const request = this.#request;
    const before = request.phase;
    if (!request.isPassing && !this.#hold(piece.length)) return;
    try {
      request.push(piece, isEnd);
    } catch (thrown) {
      this.#fail(statusOf(thrown));
      return;
    }
    if (!request.isPassing) this.#consume();
    if (before === request.phase) {
      if (this.#out !== undefined) this.#sendOn(this.#out);
    } else if (request.phase === 'named') this.#route(this.#call.nowMs);
    else if (request.phase === 'packed') this.#unpack();
  }

  onCallerGone(_code: number, _why: string): void {
    if (this.#isDone) return;
    this.#out?.reset(ErrorCode.CANCEL);
    this.#finish();
    this.#owner.forwarder.answered(this, Code.CANCELLED);
  }

  onAnswerWritable(): void {
    const bytes = this.#unconsumedAnswerBytes;
    this.#unconsumedAnswerBytes = 0;
    if (bytes > 0) this.#out?.consumeAnswer(bytes);
  }

  send(route: Ready): void {
    const opener = this.upstream?.opener;
    if (opener === undefined) throw new Error('calls are passed on to nodes behind connections');
    const call = this.#call;
    this.#suffix = this.#suffixFor(route);
    this.#sentPieces = 0;
    this.#isPrefixSent = false;
    this.#isEndSent = false;
    const fields = this.span === undefined ? call.fields : this.span.fields(call.fields);
    this.#out = opener.open(call.path, fields, call.deadlineMs, this, this.sentMs);
    this.#sendOn(this.#out);
  }

  override sendHedge(): boolean {
    const opener = this.hedge?.opener;
    const request = this.#request;
    if (opener === undefined || !request.isWhole) return false;
    const leg = new HedgeLeg(this);
    this.#hedged = leg;
    const call = this.#call;
    const fields = this.span === undefined ? call.fields : this.span.fields(call.fields);
    leg.out = opener.open(call.path, fields, call.deadlineMs, leg, this.hedgeSentMs);
    sendWhole(leg.out, request, this.#suffix);
    return true;
  }

  override dropHedge(): void {
    this.#hedged?.out?.reset(ErrorCode.CANCEL);
    this.#hedged = undefined;
  }

  override promoteHedge(): void {
    const leg = this.#hedged;
    if (leg === undefined) return;
    leg.isFirst = true;
    this.#out = leg.out;
    this.#hedged = undefined;
  }

  /** The second sending has an answer before the first. */
  hedgeAnswers(): void {
    this.#out?.reset(ErrorCode.CANCEL);
    this.promoteHedge();
    this.#owner.forwarder.hedgeWon(this);
  }

  hedgeFails(error: StatusError): void {
    this.#hedged = undefined;
    this.#owner.forwarder.hedgeFailed(this, error);
  }

  /** Each message of a stream names its own version, so the router adds to none. */
  #suffixFor(route: Ready): Uint8Array {
    const version = this.#isStream ? undefined : this.versionToTell(route);
    if (version !== undefined && this.#request.unpack()) return versionField(this.path, version);
    this.#letGoOfInflated();
    return NO_BYTES;
  }

  #letGoOfInflated(): void {
    const sizeBytes = this.#request.inflated?.length ?? 0;
    this.#request.forgetInflated();
    this.#heldBytes -= sizeBytes;
    this.#owner.letGo(sizeBytes);
  }

  refuse(error: StatusError): void {
    this.#finish();
    this.#call.fail(error);
  }

  onRequestWritable(): void {
    const request = this.#request;
    const isKept = !request.isPassing || this.#isOnlyFirst;
    if (!isKept || !request.isSmall) this.#letGo();
    this.#consume();
  }

  /** Of a stream, no more has come than names its model: its node may yet prove unreachable. */
  get #isOnlyFirst(): boolean {
    return this.#isStream && !this.#hasAnswer && this.#request.sizeBytes === this.#heldBytes;
  }

  onAnswerHeaders(fields: readonly HeaderField[], isEnd: boolean): void {
    if (!isEnd) {
      this.#hasAnswer = true;
      if (this.isHedged) this.#owner.forwarder.hedgeDone(this);
      if (this.#isStream) this.#letGo();
      this.#call.sendHeaders(fields, false);
      return;
    }
    const code = readCode(fields) ?? Code.UNKNOWN;
    if (code === Code.NOT_FOUND || code === Code.UNAVAILABLE) {
      const error = readOutcome(fields, 200).error ?? new StatusError(code, '');
      this.#out = undefined;
      if (this.#owner.forwarder.goesElsewhere(this, error)) return;
    }
    this.#finish();
    this.#owner.forwarder.answered(this, code);
    this.#call.sendHeaders(fields, true);
  }

  onAnswerData(bytes: Uint8Array, start: number, end: number): void {
    const sizeBytes = end - start;
    if (!this.#call.sendData(bytes, start, end)) this.#unconsumedAnswerBytes += sizeBytes;
    else this.#out?.consumeAnswer(sizeBytes);
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    const code = readCode(fields) ?? Code.UNKNOWN;
    const nowMs = this.#out?.nowMs;
    this.#finish();
    this.#owner.forwarder.answered(this, code, nowMs);
    if (fields.length > 0) this.#call.sendTrailers(fields);
    else this.#call.fail(new StatusError(Code.UNKNOWN, 'the node ended its answer without status'));
  }

  onAnswerLost(code: number, isUnprocessed: boolean, why: string, isConnection: boolean): void {
    if (this.#isDone) return;
    this.#out = undefined;
    const address = this.upstream?.address ?? '';
    const error = lossOf(address, code, isUnprocessed, why, isConnection, this.#hasAnswer);
    if (!this.#hasAnswer && this.#owner.forwarder.goesElsewhere(this, error)) return;
    this.#finish();
    this.#owner.forwarder.answered(this, error.code);
    this.#call.fail(error);
  }

  /** @param nowMs undefined: some time after what came last */
  #route(nowMs?: number): void {
    try {
      this.isFor(this.#request.named);
    } catch (thrown) {
      this.#fail(statusOf(thrown));
      return;
    }
    const { forwarder } = this.#owner;
    if (this.#isStream) this.#waitsUntilMs = forwarder.waitsUntilMs();
    forwarder.route(this, nowMs);
  }

  /** A compressed message is inflated to see which model it is for; it goes on as it came. */
  #unpack(): void {
    const request = this.#request;
    this.#owner.inflater.inflate(
      request.message(),
      () => !this.#isDone,
      (inflated) => {
        try {
          if (inflated instanceof StatusError) throw inflated;
          if (!this.#hold(inflated.length)) return;
          request.told(inflated);
        } catch (thrown) {
          this.#fail(statusOf(thrown));
          return;
        }
        this.#route();
      },
    );
  }

  /** Sends what there is and this node has not been sent. */
  #sendOn(out: RawRequest): void {
    const request = this.#request;
    const { pieces, isWhole } = request;
    const suffix = this.#suffix;
    let hasRoom = true;
    while (this.#sentPieces < pieces.length) {
      let piece = pieces[this.#sentPieces] as Uint8Array;
      this.#sentPieces += 1;
      if (suffix.length > 0 && this.#sentPieces === 1 && !this.#isPrefixSent) {
        out.sendData(messagePrefix(request.messageBytes + suffix.length), false);
        this.#isPrefixSent = true;
        piece = piece.subarray(PREFIX_BYTES);
      }
      this.#isEndSent = isWhole && suffix.length === 0 && this.#sentPieces === pieces.length;
      hasRoom = out.sendData(piece, this.#isEndSent);
    }
    if (isWhole && !this.#isEndSent) {
      this.#isEndSent = true;
      hasRoom = out.sendData(suffix, true);
    }
    request.seal();
    if (hasRoom) this.onRequestWritable();
  }

  #consume(): void {
    const bytes = this.#unconsumedBytes;
    if (bytes === 0) return;
    this.#unconsumedBytes = 0;
    this.#call.consumeRequest(bytes);
  }

  #hold(bytes: number): boolean {
    const error = this.#owner.refusalToHold(bytes);
    if (error !== undefined) {
      this.#fail(error);
      return false;
    }
    this.#heldBytes += bytes;
    return true;
  }

  #letGo(): void {
    this.#request.drop();
    this.#sentPieces = 0;
    this.#owner.letGo(this.#heldBytes);
    this.#heldBytes = 0;
  }

  /** Ends it from here, whether or not it is on its way. */
  #fail(error: StatusError): void {
    this.#out?.reset(ErrorCode.CANCEL);
    this.#finish();
    this.#owner.forwarder.answered(this, error.code);
    this.#call.fail(error);
  }

  #finish(): void {
    this.#isDone = true;
    this.#letGo();
    this.#out = undefined;
  }
}
