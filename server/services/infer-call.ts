// A ModelInfer call on its way through the batcher, from a checked request to the answer's bytes.
import { Code, type StatusError, statusOf, unavailable } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import type { UnaryCall } from '../../transport/backend.ts';
import type { RequestQueue, Waiting } from '../batcher/request-queue.ts';
import { fillAnswer } from '../infer/answer-template.ts';
import type { OutputChoice } from '../infer/check.ts';
import { classify } from '../infer/classification.ts';
import type { Asked } from '../infer/known-heads.ts';
import { encodeResponse } from '../infer/response.ts';
import { reshaped, type ServedSignature } from '../infer/signature.ts';
import type { InferRequest, RowOutputs } from '../loaded-model.ts';
import type { CallableVersion } from '../model-table.ts';

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
  readonly #call: UnaryCall;
  readonly #asked: Asked<CallableVersion>;
  /** UTF-8; empty: the request has none. */
  readonly #id: Uint8Array;

  constructor(
    call: UnaryCall,
    asked: Asked<CallableVersion>,
    inputs: readonly Tensor[],
    id: Uint8Array,
  ) {
    this.#call = call;
    this.#asked = asked;
    this.#id = id;
    this.inputs = inputs;
    this.rows = asked.checked.rows;
    this.sizeBytes = asked.sizeBytes;
    this.deadlineMs = call.deadlineMs;
  }

  cancel(): void {
    this.#asked.served.loaded.cancel(this);
  }

  succeed(outputs: RowOutputs): void {
    const call = this.#call;
    call.onCancel = undefined;
    try {
      const { answer } = this.#asked;
      const filled = answer === undefined ? undefined : fillAnswer(answer, outputs, this.#id);
      call.succeed(filled ?? this.#encode(outputs));
    } catch (error) {
      call.fail(statusOf(error));
    }
  }

  fail(error: StatusError): void {
    this.#call.onCancel = undefined;
    this.#call.fail(this.queueEndsFirst ? queueError(error, this.#idText()) : error);
  }

  #idText(): string {
    return Buffer.from(this.#id).toString();
  }

  #encode(outputs: RowOutputs): Uint8Array {
    const { served, checked } = this.#asked;
    const { model, version } = served.signature;
    const told = chosen(outputs.tensors(), checked.outputs, served.signature);
    return encodeResponse({ model, version, id: this.#idText(), outputs: told });
  }
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
