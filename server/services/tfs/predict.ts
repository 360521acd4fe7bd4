// TensorFlow Serving's Predict over the models of this node: the same checks, queue and batches as
// ModelInfer; its errors say what TensorFlow Serving says where it has words for them.
import { Code, invalidArgument, StatusError, statusOf } from '../../../common/status.ts';
import type { Datatype } from '../../../common/tensor.ts';
import type { CallTracer } from '../../../common/tracing/call-tracer.ts';
import { datatypeOf } from '../../../proto/tfs/data-types.ts';
import type { ModelSpecFields } from '../../../proto/tfs/model-spec.ts';
import {
  decodePredict,
  encodePredict,
  type SentPredict,
  tensorError,
} from '../../../proto/tfs/predict.ts';
import { rawDataOf, type SentTensor } from '../../../proto/tfs/tensor-decode.ts';
import { servableNotFound, unknownLabel } from '../../../proto/tfs/words.ts';
import { MAX_MESSAGE_BYTES, type UnaryCall } from '../../../transport/backend.ts';
import { checkRequest } from '../../infer/check.ts';
import { NO_PARAMETERS, type RawRequest } from '../../infer/request.ts';
import type { ServedSignature } from '../../infer/signature.ts';
import type { RowOutputs } from '../../loaded-model.ts';
import type { CallableVersion, ModelTable } from '../../model-table.ts';
import type { FindsVersions } from '../infer.ts';
import { InferCall, submitCall } from '../infer-call.ts';
import { endSpan } from '../infer-span.ts';

/** The one signature that every model here has. */
export const DEFAULT_SIGNATURE = 'serving_default';

const NO_ID = new Uint8Array(0);

export class Predict {
  readonly #table: FindsVersions;
  readonly #nowMs: () => number;
  readonly #tracer: CallTracer | undefined;

  /**
   * @param nowMs the clock that deadlines of calls are on
   * @param tracer undefined: no call is recorded
   */
  constructor(table: FindsVersions, nowMs: () => number, tracer?: CallTracer) {
    this.#table = table;
    this.#nowMs = nowMs;
    this.#tracer = tracer;
  }

  /** Never throws. */
  unary(call: UnaryCall): void {
    let served: CallableVersion | undefined;
    const startMs = this.#nowMs();
    const span = this.#tracer?.begin(call);
    try {
      const sent = decodePredict(call.request);
      served = findServable(this.#table, sent.spec);
      checkSignature(sent.spec);
      checkAliases(sent, served.signature);
      const checked = checkRequest(rawRequest(sent), served.signature);
      const sizeBytes = checked.inputs.reduce((sum, { bytes }) => sum + bytes.length, 0);
      const asked = { served, checked, sizeBytes, answer: undefined };
      const request = new PredictCall(call, asked, checked.inputs, NO_ID);
      request.span = span;
      submitCall(request, call, asked, this.#nowMs);
    } catch (thrown) {
      served?.statistics.requestFailed('OTHER', (this.#nowMs() - startMs) * 1e6);
      const error = statusOf(thrown);
      call.fail(error);
      if (span !== undefined) endSpan(span, served?.signature, error.code);
    }
  }
}

class PredictCall extends InferCall {
  protected override encode(outputs: RowOutputs): Uint8Array {
    const { model, version } = this.asked.served.signature;
    const told = { model, version, signature: DEFAULT_SIGNATURE, outputs: this.chosen(outputs) };
    return encodePredict(told, MAX_MESSAGE_BYTES);
  }
}

/** @throws NOT_FOUND; INVALID_ARGUMENT for a label; UNAVAILABLE as ModelTable.find */
export function findServable<Served>(
  table: Pick<ModelTable<Served>, 'find'>,
  { name, version, label }: ModelSpecFields,
): Served {
  if (label !== '') throw unknownLabel(label);
  if (version.startsWith('-') || version === '0') throw servableNotFound(name, version);
  try {
    return table.find(name, version);
  } catch (thrown) {
    const error = statusOf(thrown);
    throw error.code === Code.UNAVAILABLE ? error : servableNotFound(name, version);
  }
}

function checkSignature({ signature }: ModelSpecFields): void {
  if (signature === '' || signature === DEFAULT_SIGNATURE) return;
  throw new StatusError(
    Code.FAILED_PRECONDITION,
    `Serving signature key "${signature.slice(0, 128)}" not found.`,
  );
}

const listed = (names: Iterable<string>): string => [...names].sort().join(',');

/** @throws INVALID_ARGUMENT */
function checkAliases({ inputs, outputFilter }: SentPredict, signature: ServedSignature): void {
  const wanted = signature.inputs.map(({ spec }) => spec.name);
  const missing = wanted.filter((name) => !inputs.has(name));
  if (inputs.size !== wanted.length) {
    const extra = [...inputs.keys()].filter((name) => !wanted.includes(name));
    throw invalidArgument(
      `input size does not match signature: ${inputs.size}!=${wanted.length} ` +
        `len({${listed(inputs.keys())}}) != len({${listed(wanted)}}). ` +
        `Sent extra: {${listed(extra)}}. Missing but required: {${listed(missing)}}.`,
    );
  }
  if (missing[0] !== undefined) {
    throw invalidArgument(
      `Signature input alias: ${missing[0]}(feed name: ${missing[0]}:0) not found in request and ` +
        'no default value provided. Inputs expected to be in the request ' +
        `{${listed(wanted)}}, or default input alias set: {}`,
    );
  }
  const known = signature.outputs.map(({ spec }) => spec.name);
  const seen = new Set<string>();
  for (const alias of outputFilter) {
    if (!known.includes(alias)) {
      throw invalidArgument(
        `output tensor alias not found in signature: ${alias} Outputs expected to be in the set ` +
          `{${listed(known)}}.`,
      );
    }
    if (seen.has(alias)) throw invalidArgument(`duplicate output tensor alias: ${alias}`);
    seen.add(alias);
  }
}

/** The same request as ModelInfer would have it. */
function rawRequest({ spec, inputs, outputFilter }: SentPredict): RawRequest {
  // A few bytes may stand for a large tensor of one value: it is made last, and within limits.
  let budgetBytes = MAX_MESSAGE_BYTES;
  const raw: (() => Buffer)[] = [];
  const named = [...inputs].map(([name, tensor]) => {
    const datatype = datatypeFor(name, tensor);
    raw.push(() => {
      const bytes = dataOf(name, tensor, datatype, budgetBytes);
      if (bytes.buffer !== tensor.message.buffer) budgetBytes -= bytes.length;
      return bytes;
    });
    const { shape } = tensor;
    return { name, datatype, shape, parameters: NO_PARAMETERS, contents: undefined };
  });
  return {
    modelName: spec.name,
    modelVersion: spec.version,
    id: '',
    parameters: NO_PARAMETERS,
    inputs: named,
    outputs: outputFilter.map((name) => ({ name, parameters: NO_PARAMETERS })),
    raw,
  };
}

function datatypeFor(name: string, { dataType }: SentTensor): Datatype {
  const datatype = datatypeOf(dataType);
  if (datatype !== undefined) return datatype;
  const text = `no model here takes tensors of TensorFlow's type ${dataType}`;
  throw tensorError(name, invalidArgument(text));
}

function dataOf(name: string, tensor: SentTensor, datatype: Datatype, budgetBytes: number): Buffer {
  try {
    return rawDataOf(tensor, datatype, budgetBytes);
  } catch (thrown) {
    throw tensorError(name, thrown);
  }
}
