// ModelInfer: bytes in, checked, into the model's batcher; its answer into bytes.
import { Code, type StatusError, statusOf, unavailable } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import type { QueueTimeout } from '../../model/config/batching.ts';
import type { UnaryCall } from '../../transport/backend.ts';
import type { RequestQueue, Waiting } from '../batcher/request-queue.ts';
import { type CheckedRequest, checkRequest, type OutputChoice } from '../infer/check.ts';
import { checkClassifiable, classify } from '../infer/classification.ts';
import { decodeRequest, type RawRequest } from '../infer/request.ts';
import { encodeResponse } from '../infer/response.ts';
import { reshaped, type ServedSignature } from '../infer/signature.ts';
import type { InferRequest, RowOutputs } from '../loaded-model.ts';
import type { ModelTable, ServedVersion } from '../model-table.ts';

/** @param nowMs the clock that call.deadlineMs is on */
export function modelInfer(call: UnaryCall, table: ModelTable, nowMs: () => number): void {
  let served: ServedVersion | undefined;
  const startMs = nowMs();
  try {
    const raw = decodeRequest(call.request);
    served = table.find(raw.modelName, raw.modelVersion);
    const checked = checkRequest(raw, served.signature);
    for (const { output, classCount } of checked.outputs) {
      if (classCount > 0) checkClassifiable(output.spec.name, output.spec.datatype);
    }
    submit(call, served, raw, checked, startMs);
  } catch (error) {
    served?.statistics.requestFailed('OTHER', (nowMs() - startMs) * 1e6);
    call.fail(statusOf(error));
  }
}

function submit(
  call: UnaryCall,
  served: ServedVersion,
  raw: RawRequest,
  checked: CheckedRequest,
  nowMs: number,
): void {
  const { loaded } = served;
  const queueMs = queueTimeoutMs(served.queueTimeout, checked.timeoutUs);
  const queueEndsFirst = nowMs + queueMs < call.deadlineMs;
  const request = new InferCall(call, served, raw.id, checked, {
    deadlineMs: queueEndsFirst ? nowMs + queueMs : call.deadlineMs,
    queueEndsFirst,
  });
  call.onCancel = () => loaded.cancel(request);
  loaded.submit(request);
}

/** A call on its way through the batcher. */
class InferCall implements InferRequest {
  readonly inputs: readonly Tensor[];
  readonly rows: number;
  readonly sizeBytes: number;
  readonly deadlineMs: number;
  arrivedMs = 0;
  shapeKey = '';
  queue: RequestQueue | undefined = undefined;
  next: Waiting | undefined = undefined;
  previous: Waiting | undefined = undefined;
  readonly #call: UnaryCall;
  readonly #served: ServedVersion;
  readonly #id: string;
  readonly #outputs: readonly OutputChoice[];
  readonly #queueEndsFirst: boolean;

  constructor(
    call: UnaryCall,
    served: ServedVersion,
    id: string,
    { inputs, rows, outputs }: CheckedRequest,
    ends: { readonly deadlineMs: number; readonly queueEndsFirst: boolean },
  ) {
    this.#call = call;
    this.#served = served;
    this.#id = id;
    this.#outputs = outputs;
    this.#queueEndsFirst = ends.queueEndsFirst;
    this.deadlineMs = ends.deadlineMs;
    this.inputs = inputs;
    this.rows = rows;
    let sizeBytes = 0;
    for (const { bytes } of inputs) sizeBytes += bytes.length;
    this.sizeBytes = sizeBytes;
  }

  succeed(outputs: RowOutputs): void {
    const call = this.#call;
    call.onCancel = undefined;
    try {
      const { signature } = this.#served;
      const { model, version } = signature;
      const told = chosen(outputs.tensors(), this.#outputs, signature);
      call.succeed(encodeResponse({ model, version, id: this.#id, outputs: told }));
    } catch (error) {
      call.fail(statusOf(error));
    }
  }

  fail(error: StatusError): void {
    this.#call.onCancel = undefined;
    this.#call.fail(queueError(error, this.#id, this.#queueEndsFirst));
  }
}

/** Infinity: the request's deadline alone counts. */
function queueTimeoutMs({ defaultUs, allowsOverride }: QueueTimeout, askedUs: number): number {
  const asked = allowsOverride && askedUs > 0 ? askedUs : Number.POSITIVE_INFINITY;
  const set = defaultUs > 0 ? defaultUs : Number.POSITIVE_INFINITY;
  return Math.min(asked, set) / 1000;
}

/** A wait that the queue policy ended, not the caller's deadline, is told as Triton tells it. */
function queueError(error: StatusError, id: string, queueEndsFirst: boolean): StatusError {
  if (!queueEndsFirst || error.code !== Code.DEADLINE_EXCEEDED) return error;
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
