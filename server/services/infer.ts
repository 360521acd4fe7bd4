// ModelInfer: bytes in, checked, into the model's batcher; its answer into bytes.
import { Code, type StatusError, statusOf, unavailable } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import type { QueueTimeout } from '../../model/config/batching.ts';
import type { UnaryCall } from '../../transport/backend.ts';
import { type CheckedRequest, checkRequest, type OutputChoice } from '../infer/check.ts';
import { checkClassifiable, classify } from '../infer/classification.ts';
import { decodeRequest, type RawRequest } from '../infer/request.ts';
import { encodeResponse } from '../infer/response.ts';
import { reshaped, type ServedSignature } from '../infer/signature.ts';
import type { InferOutcome, InferRequest } from '../loaded-model.ts';
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
  const { loaded, signature } = served;
  const queueMs = queueTimeoutMs(served.queueTimeout, checked.timeoutUs);
  const queueEndsFirst = nowMs + queueMs < call.deadlineMs;
  const request: InferRequest = {
    inputs: checked.inputs,
    rows: checked.rows,
    deadlineMs: queueEndsFirst ? nowMs + queueMs : call.deadlineMs,
    done(outcome) {
      call.onCancel = undefined;
      answer(call, outcome, signature, raw.id, checked.outputs, queueEndsFirst);
    },
  };
  call.onCancel = () => loaded.cancel(request);
  loaded.submit(request);
}

/** Infinity: the request's deadline alone counts. */
function queueTimeoutMs({ defaultUs, allowsOverride }: QueueTimeout, askedUs: number): number {
  const asked = allowsOverride && askedUs > 0 ? askedUs : Number.POSITIVE_INFINITY;
  const set = defaultUs > 0 ? defaultUs : Number.POSITIVE_INFINITY;
  return Math.min(asked, set) / 1000;
}

function answer(
  call: UnaryCall,
  outcome: InferOutcome,
  signature: ServedSignature,
  id: string,
  choices: readonly OutputChoice[],
  queueEndsFirst: boolean,
): void {
  if (!outcome.ok) {
    call.fail(queueError(outcome.error, id, queueEndsFirst));
    return;
  }
  try {
    const { model, version } = signature;
    const outputs = chosen(outcome.outputs, choices, signature);
    call.succeed(encodeResponse({ model, version, id, outputs }));
  } catch (error) {
    call.fail(statusOf(error));
  }
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
