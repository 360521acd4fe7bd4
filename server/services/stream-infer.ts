// ModelStreamInfer: one stream carries many requests, each checked, queued and batched as a
// ModelInfer of its own. Answers go out as they are ready, so they may pass each other: callers
// tell them apart by the request's id. What is wrong with one request is told in its answer's
// error_message, with its id, and the stream stays open; a caller that sends the metadata
// `triton_grpc_error: true` gets a status instead, and its stream ends there.
import { type StatusError, unavailable } from '../../common/status.ts';
import {
  DEFAULT_DEADLINE_MS,
  MAX_MESSAGE_BYTES,
  type Metadata,
  type StreamCall,
  type UnaryCall,
} from '../../transport/backend.ts';
import { encodeStreamAnswer, encodeStreamError } from '../infer/stream-answer.ts';

/** Of one stream that wait or run; then its caller is read no further until one is answered. */
export const MAX_STREAM_REQUESTS = 128;
/** Bytes of those requests; the same happens. One message more may be on its way already. */
export const MAX_STREAM_BYTES = MAX_MESSAGE_BYTES;

/** As ModelInfer answers its calls: each once, perhaps at once. */
export interface Infer {
  unary(call: UnaryCall): void;
}

const STATUS_KEY = 'triton_grpc_error';

export class ModelStreamInfer {
  readonly #infer: Infer;
  readonly #nowMs: () => number;
  readonly #open = new Set<InferStream>();
  #isRetired = false;

  /** @param nowMs the clock that deadlines of calls are on */
  constructor(infer: Infer, nowMs: () => number) {
    this.#infer = infer;
    this.#nowMs = nowMs;
  }

  get openStreams(): number {
    return this.#open.size;
  }

  /** Never throws. */
  stream(call: StreamCall): void {
    if (this.#isRetired) {
      call.fail(leaving());
      return;
    }
    const stream = new InferStream(call, this.#infer, this.#nowMs, () => this.#open.delete(stream));
    this.#open.add(stream);
  }

  /** Each stream ends with UNAVAILABLE as soon as what it has taken is answered; no new ones. */
  retire(): void {
    this.#isRetired = true;
    for (const stream of [...this.#open]) stream.retire();
  }
}

function leaving(): StatusError {
  return unavailable('this node is shutting down: open a new stream');
}

class InferStream {
  readonly call: StreamCall;
  readonly #infer: Infer;
  readonly #nowMs: () => number;
  readonly #onEnd: () => void;
  readonly #wantsStatus: boolean;
  readonly #waiting = new Set<StreamedRequest>();
  #waitingBytes = 0;
  #isPeerSlow = false;
  #isPaused = false;
  #isHalfClosed = false;
  #isRetired = false;
  #isOver = false;

  constructor(call: StreamCall, infer: Infer, nowMs: () => number, onEnd: () => void) {
    this.call = call;
    this.#infer = infer;
    this.#nowMs = nowMs;
    this.#onEnd = onEnd;
    this.#wantsStatus = call.metadata.some(
      ([key, value]) => key === STATUS_KEY && value === 'true',
    );
    call.onMessage = (message) => this.#take(message);
    call.onHalfClose = () => {
      this.#isHalfClosed = true;
      this.#settle();
    };
    call.onDrain = () => {
      this.#isPeerSlow = false;
      this.#settle();
    };
    call.onCancel = () => this.#abandon();
  }

  retire(): void {
    this.#isRetired = true;
    this.#settle();
  }

  answered(request: StreamedRequest, answer: Uint8Array): void {
    if (!this.#isDone(request)) return;
    if (!this.call.send(answer)) this.#isPeerSlow = true;
    this.#settle();
  }

  failed(request: StreamedRequest, error: StatusError): void {
    if (!this.#wantsStatus) {
      this.answered(request, encodeStreamError(error.message, request.request));
    } else if (this.#isDone(request)) {
      this.#abandon();
      this.call.fail(error);
    }
  }

  #take(message: Uint8Array): void {
    if (this.#isOver || this.#isRetired) return;
    const deadlineMs = Math.min(this.call.deadlineMs, this.#nowMs() + DEFAULT_DEADLINE_MS);
    const request = new StreamedRequest(this, message, deadlineMs);
    this.#waiting.add(request);
    this.#waitingBytes += message.length;
    this.#infer.unary(request);
    this.#settle();
  }

  /** False: nobody waits for it any more. */
  #isDone(request: StreamedRequest): boolean {
    if (!this.#waiting.delete(request)) return false;
    this.#waitingBytes -= request.request.length;
    return true;
  }

  /** Ends the stream when its time has come, or reads on, or no further. */
  #settle(): void {
    if (this.#isOver) return;
    if (this.#waiting.size === 0 && (this.#isHalfClosed || this.#isRetired)) {
      this.#end();
      if (this.#isHalfClosed) this.call.end();
      else this.call.fail(leaving());
      return;
    }
    const isFull =
      this.#isPeerSlow ||
      this.#isRetired ||
      this.#waiting.size >= MAX_STREAM_REQUESTS ||
      this.#waitingBytes >= MAX_STREAM_BYTES;
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) this.call.pause();
    else this.call.resume();
  }

  /** Nobody hears the answers any more. */
  #abandon(): void {
    if (this.#isOver) return;
    this.#end();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const request of waiting) request.cancel();
  }

  #end(): void {
    this.#isOver = true;
    this.#onEnd();
  }
}

/** One message of a stream, as ModelInfer takes its calls. */
class StreamedRequest implements UnaryCall {
  readonly request: Uint8Array;
  readonly deadlineMs: number;
  isCancelled = false;
  onCancel: (() => void) | undefined = undefined;
  readonly #stream: InferStream;

  constructor(stream: InferStream, request: Uint8Array, deadlineMs: number) {
    this.#stream = stream;
    this.request = request;
    this.deadlineMs = deadlineMs;
  }

  get path(): string {
    return this.#stream.call.path;
  }
  get metadata(): Metadata {
    return this.#stream.call.metadata;
  }
  get peer(): string {
    return this.#stream.call.peer;
  }

  succeed(response: Uint8Array): void {
    this.#stream.answered(this, encodeStreamAnswer(response));
  }

  fail(error: StatusError): void {
    this.#stream.failed(this, error);
  }

  cancel(): void {
    this.isCancelled = true;
    this.onCancel?.();
  }
}
