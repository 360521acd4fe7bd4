// An instance that runs on the thread that calls it: no hop, and nothing else happens meanwhile.
// For models whose runs are known to be short (../inline-cost.ts): a run can't be cut off, and
// blocks every call of its thread.
import type { Clock } from '../../../common/clock.ts';
import { Code, codeOf, StatusError, statusOf } from '../../../common/status.ts';
import type { Tensor, TensorSpec } from '../../../common/tensor.ts';
import type { Batch, EngineInstance, RunOutcome } from '../engine.ts';
import { checkSlabBytes } from '../slab.ts';
import { type Ort, type OrtSession, type OrtValues, ortOfThread } from './binding.ts';
import { bytesOfValue, type InputArea, inputArea } from './feeds.ts';
import { loadProblem, runProblem } from './problems.ts';

export interface InlineOptions {
  readonly modelPath: string;
  readonly intraOpThreads: number;
  readonly clock: Clock;
  /** 0: no batching. */
  readonly maxBatchSize: number;
  /** Of the same file, loaded elsewhere before. */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/**
 * Loads the model on this thread, which it blocks meanwhile.
 * @throws INVALID_ARGUMENT with ONNX Runtime's reason
 */
export async function startInlineInstance(
  options: InlineOptions,
  wanted: Ort['path'] = 'binding',
): Promise<EngineInstance> {
  const ort = await ortOfThread(wanted);
  const { modelPath, intraOpThreads, outputs } = options;
  const outputNames = outputs.map(({ name }) => name);
  try {
    const session = await ort.open({ modelPath, intraOpThreads, outputNames });
    return new InlineInstance(options, session);
  } catch (thrown) {
    const text = loadProblem(statusOf(thrown).message, modelPath);
    throw new StatusError(Code.INVALID_ARGUMENT, text);
  }
}

class InlineInstance implements EngineInstance {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly way: EngineInstance['way'];
  readonly loadMs = 0;
  readonly ended: Promise<StatusError | undefined>;
  readonly #options: InlineOptions;
  readonly #clock: Clock;
  readonly #session: OrtSession;
  /** Let go of when it stops: others may still hold the instance. */
  #area: InputArea | undefined;
  #running: Promise<void> | undefined;
  #stops = false;
  #settleEnd: () => void = () => {};

  constructor(options: InlineOptions, session: OrtSession) {
    this.#options = options;
    this.#clock = options.clock;
    this.#session = session;
    this.inputs = options.inputs;
    this.outputs = options.outputs;
    this.way = session.runNow === undefined ? 'inline_public' : 'inline';
    this.#area = inputArea(options.inputs, options.maxBatchSize);
    this.ended = new Promise((resolve) => {
      this.#settleEnd = () => resolve(undefined);
    });
  }

  run(batch: Batch, done: (outcome: RunOutcome) => void): void {
    const area = this.#area;
    if (this.#running !== undefined || area === undefined) {
      throw new Error('an instance runs one batch at a time');
    }
    const beganMs = this.#clock.nowMs();
    const { runNow } = this.#session;
    if (runNow === undefined) {
      this.#running = this.#runPublic(area, batch, beganMs).then((outcome) => {
        this.#running = undefined;
        done(outcome);
      });
      return;
    }
    let outcome: RunOutcome;
    try {
      const feeds = area.fill(batch);
      const startedMs = this.#clock.nowMs();
      outcome = this.#outcome(runNow(feeds), beganMs, startedMs);
    } catch (thrown) {
      outcome = this.#failure(thrown);
    }
    done(outcome);
  }

  async #runPublic(area: InputArea, batch: Batch, beganMs: number): Promise<RunOutcome> {
    try {
      const feeds = area.fill(batch);
      const startedMs = this.#clock.nowMs();
      return this.#outcome(await this.#session.run(feeds), beganMs, startedMs);
    } catch (thrown) {
      return this.#failure(thrown);
    }
  }

  async stop(): Promise<void> {
    if (!this.#stops) {
      this.#stops = true;
      this.#area = undefined;
      await this.#running;
      await this.#session.release();
      this.#settleEnd();
    }
    await this.ended;
  }

  #outcome(values: OrtValues, beganMs: number, startedMs: number): RunOutcome {
    const ranMs = this.#clock.nowMs();
    const outputs: Tensor[] = [];
    let sizeBytes = 0;
    for (const { name, datatype } of this.outputs) {
      const value = values[name];
      if (value === undefined) throw new Error(`the run gave no output '${name}'`);
      const bytes = bytesOfValue(value);
      sizeBytes += bytes.length;
      outputs.push({ name, datatype, shape: value.dims, bytes });
    }
    checkSlabBytes(sizeBytes);
    const inferNs = (ranMs - startedMs) * 1e6;
    return {
      ok: true,
      outputs,
      runNs: inferNs,
      computeInputNs: (startedMs - beganMs) * 1e6,
      computeInferNs: inferNs,
      computeOutputNs: (this.#clock.nowMs() - ranMs) * 1e6,
    };
  }

  #failure(thrown: unknown): RunOutcome {
    const { code, message } = statusOf(thrown, Code.INTERNAL);
    const error =
      thrown instanceof StatusError
        ? thrown
        : runProblem(codeOf(code), message, this.#options.modelPath);
    return { ok: false, error, hasEnded: false };
  }
}
