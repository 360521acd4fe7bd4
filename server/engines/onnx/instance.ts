// One instance of an ONNX model: the owner's end of a worker thread that runs it. Gathers a batch
// into shared memory, rings, and hands the outputs out as views when the answer comes.
import { basename } from 'node:path';
import type { Clock } from '../../../common/clock.ts';
import { Code, codeOf, StatusError } from '../../../common/status.ts';
import type { Tensor, TensorSpec } from '../../../common/tensor.ts';
import type { Batch, EngineInstance, RunOutcome } from '../engine.ts';
import { gather } from '../gather.ts';
import { readTable, Slab } from '../slab.ts';
import { loadProblem, runProblem } from './problems.ts';
import { COMMAND, type WorkerMessage } from './protocol.ts';
import type { EngineThread, SpareThreads } from './thread.ts';

export interface InstanceOptions {
  readonly modelPath: string;
  readonly intraOpThreads: number;
  readonly clock: Clock;
}

/**
 * Resolves when the model is loaded. @throws INVALID_ARGUMENT with ONNX Runtime's reason;
 * UNAVAILABLE when the thread ended meanwhile.
 */
export async function startOnnxInstance(
  options: InstanceOptions,
  threads: SpareThreads,
): Promise<EngineInstance> {
  const instance = new OnnxInstance(options, threads);
  await instance.loaded;
  return instance;
}

interface Run {
  readonly done: (outcome: RunOutcome) => void;
  readonly startedMs: number;
  readonly computeInputNs: number;
}

class OnnxInstance implements EngineInstance {
  inputs: readonly TensorSpec[] = [];
  outputs: readonly TensorSpec[] = [];
  readonly way = 'worker';
  loadMs = 0;
  readonly loaded: Promise<void>;
  readonly ended: Promise<StatusError | undefined>;
  readonly #options: InstanceOptions;
  readonly #threads: SpareThreads;
  readonly #thread: EngineThread;
  #run: Run | undefined;
  #stops = false;
  #hasToldStop = false;
  #settleLoad: (error: StatusError | undefined) => void = () => {};
  #settleEnd: (error: StatusError | undefined) => void = () => {};

  constructor(options: InstanceOptions, threads: SpareThreads) {
    this.#options = options;
    this.#threads = threads;
    this.loaded = new Promise((resolve, reject) => {
      this.#settleLoad = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.ended = new Promise((resolve) => {
      this.#settleEnd = resolve;
    });
    this.#thread = threads.take();
    this.#thread.onMessage = (message) => this.#hear(message);
    this.#thread.onEnded = (why) => this.#bury(why);
    const { modelPath, intraOpThreads } = options;
    this.#thread.command(COMMAND.LOAD, { modelPath, intraOpThreads });
  }

  run(batch: Batch, done: (outcome: RunOutcome) => void): void {
    if (this.#run !== undefined || this.#stops)
      throw new Error('an instance runs one batch at a time');
    const { clock } = this.#options;
    const beganMs = clock.nowMs();
    const thread = this.#thread;
    let slab: Slab;
    try {
      slab = gather(batch, thread.inputSlab);
    } catch (thrown) {
      const error = thrown instanceof StatusError ? thrown : internal(String(thrown));
      setImmediate(() => done({ ok: false, error, hasEnded: false }));
      return;
    }
    const startedMs = clock.nowMs();
    this.#run = { done, startedMs, computeInputNs: (startedMs - beganMs) * 1e6 };
    if (slab === thread.inputSlab) thread.command(COMMAND.RUN);
    else thread.command(COMMAND.RUN, { slab: slab.buffer });
    thread.inputSlab = slab;
  }

  async stop(): Promise<void> {
    this.#stops = true;
    if (this.#run === undefined) this.#tellStop();
    await this.ended;
  }

  #tellStop(): void {
    if (this.#hasToldStop) return;
    this.#hasToldStop = true;
    this.#thread.command(COMMAND.STOP);
  }

  #hear(message: WorkerMessage): void {
    if (typeof message === 'number') this.#finish(this.#outcome(message));
    else if (message.kind === 'output_slab') {
      this.#thread.outputSlabs[message.index] = new Slab(message.slab);
    } else if (message.kind === 'run_failed') {
      const { code, message: text } = message;
      const error = runProblem(codeOf(code), text, this.#options.modelPath);
      this.#finish({ ok: false, error, hasEnded: false });
    } else if (message.kind === 'loaded') {
      this.inputs = message.inputs;
      this.outputs = message.outputs;
      this.loadMs = message.loadMs;
      this.#settleLoad(undefined);
    } else {
      this.#release();
      if (message.kind === 'released') return;
      const text = loadProblem(message.message, this.#options.modelPath);
      this.#settleLoad(new StatusError(Code.INVALID_ARGUMENT, text));
    }
  }

  /** The thread has nothing of this model any more. */
  #release(): void {
    this.#stops = true;
    this.#hasToldStop = true;
    this.#threads.give(this.#thread);
    this.#settleEnd(undefined);
  }

  #finish(outcome: RunOutcome): void {
    const run = this.#run;
    this.#run = undefined;
    if (this.#stops) this.#tellStop();
    run?.done(outcome);
  }

  #outcome(index: number): RunOutcome {
    const run = this.#run;
    const slab = this.#thread.outputSlabs[index];
    if (run === undefined || slab === undefined) {
      return { ok: false, error: internal('an answer without a run'), hasEnded: false };
    }
    const computeOutputNs = this.#thread.outputNs;
    const sinceNs = (this.#options.clock.nowMs() - run.startedMs) * 1e6;
    const outputs: Tensor[] = [];
    for (const [i, place] of readTable(slab.words, this.outputs.length).entries()) {
      const { name, datatype } = this.outputs[i] ?? { name: '', datatype: 'FP32' as const };
      const { offset, lengthBytes, shape } = place;
      const bytes = slab.bytes.subarray(offset, offset + lengthBytes);
      outputs.push({ name, datatype, shape, bytes });
    }
    return {
      ok: true,
      outputs,
      runNs: this.#thread.runNs,
      computeInputNs: run.computeInputNs,
      computeInferNs: Math.max(0, sinceNs - computeOutputNs),
      computeOutputNs,
    };
  }

  #bury(why: string): void {
    const error = new StatusError(
      Code.UNAVAILABLE,
      `the thread that runs ${basename(this.#options.modelPath)} ended: ${why}; try again`,
    );
    this.#stops = true;
    this.#hasToldStop = true;
    this.#settleLoad(error);
    this.#settleEnd(error);
    const run = this.#run;
    this.#run = undefined;
    run?.done({ ok: false, error, hasEnded: true });
  }
}

function internal(message: string): StatusError {
  return new StatusError(Code.INTERNAL, message);
}
