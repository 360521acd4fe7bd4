// A ModelInfer call on its way through the batcher, from a checked request to the answer's bytes.
import { Code, type StatusError, statusOf, unavailable } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import type { CallSpan } from '../../common/tracing/call-tracer.ts';
import type { QueueTimeout } from '../../model/config/batching.ts';
import type { UnaryCall } from '../../transport/backend.ts';
import { pushbackOf } from '../../transport/pushback.ts';
import type { RequestQueue, Waiting } from '../batcher/request-queue.ts';
import { fillAnswer } from '../infer/answer-template.ts';
import type { OutputChoice } from '../infer/check.ts';
import { classify } from '../infer/classification.ts';
import type { Asked } from '../infer/known-heads.ts';
import { encodeResponse } from '../infer/response.ts';
import { reshaped, type ServedSignature } from '../infer/signature.ts';
import type { InferRequest, RowOutputs } from '../loaded-model.ts';
import type { CallableVersion } from '../model-table.ts';
import { endSpan, recordRun } from './infer-span.ts';

export class InferCall implements InferRequest {
  readonly inputs: readonly Tensor[];
  readonly rows: number;
  readonly sizeBytes: number;
  deadlineMs: number;
  /** The queue's policy ends the wait before the caller's deadline does. */
  queueEndsFirst = false;
  arrivedMs = 0;
  shapeKey = '';
  queue: RequestQueue | undefined = undefined;
  next: Waiting | undefined = undefined;
  previous: Waiting | undefined = undefined;
  /** Undefined: it is not recorded. */
  span: CallSpan | undefined = undefined;
  protected readonly asked: Asked<CallableVersion>;
  readonly #call: UnaryCall;
  /** UTF-8; empty: the request has none. */
  readonly #id: Uint8Array;

  constructor(
    call: UnaryCall,
    asked: Asked<CallableVersion>,
    inputs: readonly Tensor[],
    id: Uint8Array,
  ) {
    this.#call = call;
    this.asked = asked;
    this.#id = id;
    this.inputs = inputs;
    this.rows = asked.checked.rows;
    this.sizeBytes = asked.sizeBytes;
    this.deadlineMs = call.deadlineMs;
  }

  cancel(): void {
    this.asked.served.loaded.cancel(this);
  }

  succeed(outputs: RowOutputs): void {
    const call = this.#call;
    call.onCancel = undefined;
    if (this.span !== undefined) recordRun(this.span, outputs);
    try {
      const { answer } = this.asked;
      const filled = answer === undefined ? undefined : fillAnswer(answer, outputs, this.#id);
      call.succeed(filled ?? this.encode(outputs));
      if (this.span !== undefined) endSpan(this.span, this.asked.served.signature, Code.OK);
    } catch (thrown) {
      this.#failWith(statusOf(thrown));
    }
  }

  fail(error: StatusError): void {
    this.#call.onCancel = undefined;
    this.#failWith(this.queueEndsFirst ? queueError(error, this.#idText()) : error);
  }

  #failWith(error: StatusError): void {
    this.#call.fail(error, pushbackOf(error));
    if (this.span !== undefined) endSpan(this.span, this.asked.served.signature, error.code);
  }

  #idText(): string {
    return Buffer.from(this.#id).toString();
  }

  /** The answer, where no template for it is known. @throws StatusError when it is too large */
  protected encode(outputs: RowOutputs): Uint8Array {
    const { model, version } = this.asked.served.signature;
    const told = this.chosen(outputs);
    return encodeResponse({ model, version, id: this.#idText(), outputs: told });
  }

  /** The outputs that were asked for, in the order of the model; views. */
  protected chosen(outputs: RowOutputs): readonly Tensor[] {
    const { served, checked } = this.asked;
    return chosen(outputs.tensors(), checked.outputs, served.signature);
  }
}

/** Into its model's batcher, with the queue's deadline. @param nowMs on the clock of deadlines */
export function submitCall(
  request: InferCall,
  call: UnaryCall,
  asked: Asked<CallableVersion>,
  nowMs: () => number,
): void {
  const { loaded, queueTimeout } = asked.served;
  const queueMs = queueTimeoutMs(queueTimeout, asked.checked.timeoutUs);
  if (queueMs < Number.POSITIVE_INFINITY) {
    const endMs = nowMs() + queueMs;
    if (endMs < call.deadlineMs) {
      request.deadlineMs = endMs;
      request.queueEndsFirst = true;
    }
  }
  call.onCancel = canceller(request);
  loaded.submit(request);
}

/** Infinity: the request's deadline alone counts. */
function queueTimeoutMs({ defaultUs, allowsOverride }: QueueTimeout, askedUs: number): number {
  const asked = allowsOverride && askedUs > 0 ? askedUs : Number.POSITIVE_INFINITY;
  const set = defaultUs > 0 ? defaultUs : Number.POSITIVE_INFINITY;
  return Math.min(asked, set) / 1000;
}

/**
 * In a function of its own: made among the variables of its caller, each request would keep the
 * next ones alive past quick garbage collections (measured: ten times the time spent on them).
 */
function canceller(request: InferCall): () => void {
  return () => request.cancel();
}

/** A wait that the queue policy ended, not the caller's deadline, is told as Triton tells it. */
function queueError(error: StatusError, id: string): StatusError {
  if (error.code !== Code.DEADLINE_EXCEEDED) return error;
  return unavailable(`[request id: ${id === '' ? '<id_unknown>' : id}] Request timeout expired`);
}

function chosen(
  outputs: readonly Tensor[],
  choices: readonly OutputChoice[],
  { maxBatchSize }: ServedSignature,
): readonly Tensor[] {
  const batched = maxBatchSize > 0;
  return choices.flatMap(({ output: { index, spec, reshape, labels }, classCount }) => {
    const tensor = outputs[index];
    if (tensor === undefined) return [];
    if (classCount > 0) return [classify(tensor, classCount, labels, batched)];
    if (reshape === undefined) return [tensor];
    const dims = batched ? spec.shape.slice(1) : spec.shape;
    return [{ ...tensor, shape: reshaped(tensor.shape, reshape, dims, batched) }];
  });
}
