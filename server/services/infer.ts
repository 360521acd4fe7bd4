// ModelInfer: bytes in, recognised or decoded and checked, into the model's batcher.
import { statusOf } from '../../common/status.ts';
import type { CallTracer } from '../../common/tracing/call-tracer.ts';
import type { UnaryCall } from '../../transport/backend.ts';
import { checkRequest } from '../infer/check.ts';
import { checkClassifiable } from '../infer/classification.ts';
import { KnownHeads } from '../infer/known-heads.ts';
import { decodeRequest } from '../infer/request.ts';
import type { CallableVersion, ModelTable } from '../model-table.ts';
import { InferCall, submitCall } from './infer-call.ts';
import { endSpan } from './infer-span.ts';

const NO_ID = new Uint8Array(0);

/** Where calls find their model. */
export type FindsVersions = Pick<ModelTable<CallableVersion>, 'find' | 'generation'>;

export class ModelInfer {
  readonly #table: FindsVersions;
  readonly #nowMs: () => number;
  readonly #tracer: CallTracer | undefined;
  readonly #known = new KnownHeads<CallableVersion>();

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
    if (!this.unaryIfKnown(call)) this.#decode(call);
  }

  /** False: its head is a new one, and nothing was done. Never throws. */
  unaryIfKnown(call: UnaryCall): boolean {
    const { request } = call;
    const head = this.#known.find(request, this.#table.generation);
    if (head === undefined) return false;
    const inputs = this.#known.inputs(head, request);
    const asking = new InferCall(call, head, inputs, this.#known.id(request));
    if (this.#tracer !== undefined) asking.span = this.#tracer.begin(call);
    submitCall(asking, call, head, this.#nowMs);
    return true;
  }

  #decode(call: UnaryCall): void {
    let served: CallableVersion | undefined;
    const startMs = this.#nowMs();
    const span = this.#tracer?.begin(call);
    try {
      const raw = decodeRequest(call.request);
      served = this.#table.find(raw.modelName, raw.modelVersion);
      const checked = checkRequest(raw, served.signature);
      for (const { output, classCount } of checked.outputs) {
        if (classCount > 0) checkClassifiable(output.spec.name, output.spec.datatype);
      }
      const asked = this.#known.learn(call.request, checked, served);
      const id = raw.id === '' ? NO_ID : Buffer.from(raw.id);
      const asking = new InferCall(call, asked, checked.inputs, id);
      asking.span = span;
      submitCall(asking, call, asked, this.#nowMs);
    } catch (thrown) {
      served?.statistics.requestFailed('OTHER', (this.#nowMs() - startMs) * 1e6);
      const error = statusOf(thrown);
      call.fail(error);
      if (span !== undefined) endSpan(span, served?.signature, error.code);
    }
  }
}
