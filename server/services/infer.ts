// ModelInfer: bytes in, recognised or decoded and checked, into the model's batcher.
import { statusOf } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import type { UnaryCall } from '../../transport/backend.ts';
import { checkRequest } from '../infer/check.ts';
import { checkClassifiable } from '../infer/classification.ts';
import { type Asked, KnownHeads } from '../infer/known-heads.ts';
import { decodeRequest } from '../infer/request.ts';
import type { CallableVersion, ModelTable } from '../model-table.ts';
import { InferCall, submitCall } from './infer-call.ts';

const NO_ID = new Uint8Array(0);

/** Where calls find their model. */
export type FindsVersions = Pick<ModelTable<CallableVersion>, 'find' | 'generation'>;

export class ModelInfer {
  readonly #table: FindsVersions;
  readonly #nowMs: () => number;
  readonly #known = new KnownHeads<CallableVersion>();

  /** @param nowMs the clock that deadlines of calls are on */
  constructor(table: FindsVersions, nowMs: () => number) {
    this.#table = table;
    this.#nowMs = nowMs;
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
    this.#submit(call, head, this.#known.inputs(head, request), this.#known.id(request));
    return true;
  }

  #decode(call: UnaryCall): void {
    let served: CallableVersion | undefined;
    const startMs = this.#nowMs();
    try {
      const raw = decodeRequest(call.request);
      served = this.#table.find(raw.modelName, raw.modelVersion);
      const checked = checkRequest(raw, served.signature);
      for (const { output, classCount } of checked.outputs) {
        if (classCount > 0) checkClassifiable(output.spec.name, output.spec.datatype);
      }
      const asked = this.#known.learn(call.request, checked, served);
      const id = raw.id === '' ? NO_ID : Buffer.from(raw.id);
      this.#submit(call, asked, checked.inputs, id);
    } catch (error) {
      served?.statistics.requestFailed('OTHER', (this.#nowMs() - startMs) * 1e6);
      call.fail(statusOf(error));
    }
  }

  #submit(
    call: UnaryCall,
    asked: Asked<CallableVersion>,
    inputs: readonly Tensor[],
    id: Uint8Array,
  ): void {
    submitCall(new InferCall(call, asked, inputs, id), call, asked, this.#nowMs);
  }
}
