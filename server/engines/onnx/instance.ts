// One instance of an ONNX model: the owner's end of a worker thread that runs it. Gathers a batch
// into shared memory, rings, and hands the outputs out as views when the answer comes.
import { basename, dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../../common/clock.ts';
import { Code, codeOf, StatusError } from '../../../common/status.ts';
import type { Tensor, TensorSpec } from '../../../common/tensor.ts';
import type { Batch, EngineInstance, RunOutcome } from '../engine.ts';
import { gather } from '../gather.ts';
import { readTable, Slab } from '../slab.ts';
import {
  COMMAND,
  CONTROL,
  CONTROL_BYTES,
  CONTROL_NS,
  type InputSlabMessage,
  type WorkerMessage,
  type WorkerSetup,
} from './protocol.ts';

export interface InstanceOptions {
  readonly modelPath: string;
  readonly intraOpThreads: number;
  /** What the thread is called in tools. */
  readonly threadName: string;
  readonly clock: Clock;
  /** The thread's program, for tests that let it die. */
  readonly workerUrl?: URL;
}

const WORKER_URL = new URL('./worker.ts', import.meta.url);

/**
 * Resolves when the model is loaded. @throws INVALID_ARGUMENT with ONNX Runtime's reason;
 * UNAVAILABLE when the thread ended meanwhile.
 */
export async function startOnnxInstance(options: InstanceOptions): Promise<EngineInstance> {
  const instance = new OnnxInstance(options);
  try {
    await instance.loaded;
    return instance;
  } catch (error) {
    await instance.ended;
    throw error;
  }
}

interface Run {
  readonly done: (outcome: RunOutcome) => void;
  readonly startedMs: number;
  readonly computeInputNs: number;
}

class OnnxInstance implements EngineInstance {
  inputs: readonly TensorSpec[] = [];
  outputs: readonly TensorSpec[] = [];
  readonly loaded: Promise<void>;
  readonly ended: Promise<StatusError | undefined>;
  readonly #options: InstanceOptions;
  readonly #worker: Worker;
  readonly #control: Int32Array;
  readonly #controlNs: Float64Array;
  readonly #outputSlabs: (Slab | undefined)[] = [undefined, undefined];
  #inputSlab: Slab | undefined;
  #run: Run | undefined;
  #stops = false;
  #hasRung = false;
  #crash: unknown;
  #settleLoad: (error: StatusError | undefined) => void = () => {};

  constructor(options: InstanceOptions) {
    this.#options = options;
    const control = new SharedArrayBuffer(CONTROL_BYTES);
    this.#control = new Int32Array(control);
    this.#controlNs = new Float64Array(control);
    const setup: WorkerSetup = {
      modelPath: options.modelPath,
      intraOpThreads: options.intraOpThreads,
      control,
    };
    this.#worker = new Worker(options.workerUrl ?? WORKER_URL, {
      workerData: setup,
      name: options.threadName,
    });
    this.loaded = new Promise((resolve, reject) => {
      this.#settleLoad = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#worker.on('message', (message: WorkerMessage) => this.#hear(message));
    this.#worker.on('error', (error) => {
      this.#crash = error;
    });
    this.ended = new Promise((resolve) => {
      this.#worker.on('exit', (exitCode) => resolve(this.#bury(exitCode)));
    });
  }

  run(batch: Batch, done: (outcome: RunOutcome) => void): void {
    if (this.#run !== undefined || this.#stops)
      throw new Error('an instance runs one batch at a time');
    const { clock } = this.#options;
    const beganMs = clock.nowMs();
    try {
      const slab = gather(batch, this.#inputSlab);
      if (slab !== this.#inputSlab) {
        this.#inputSlab = slab;
        this.#worker.postMessage({ slab: slab.buffer } satisfies InputSlabMessage);
      }
    } catch (thrown) {
      const error = thrown instanceof StatusError ? thrown : internal(String(thrown));
      setImmediate(() => done({ ok: false, error, hasEnded: false }));
      return;
    }
    const startedMs = clock.nowMs();
    this.#run = { done, startedMs, computeInputNs: (startedMs - beganMs) * 1e6 };
    this.#ring(COMMAND.RUN);
  }

  async stop(): Promise<void> {
    this.#stops = true;
    if (this.#run === undefined) this.#ringStop();
    await this.ended;
  }

  #ring(command: number): void {
    Atomics.store(this.#control, CONTROL.COMMAND, command);
    Atomics.add(this.#control, CONTROL.DOORBELL, 1);
    Atomics.notify(this.#control, CONTROL.DOORBELL);
  }

  #ringStop(): void {
    if (this.#hasRung) return;
    this.#hasRung = true;
    this.#ring(COMMAND.STOP);
  }

  #hear(message: WorkerMessage): void {
    if (typeof message === 'number') this.#finish(this.#outcome(message));
    else if (message.kind === 'output_slab') {
      this.#outputSlabs[message.index] = new Slab(message.slab);
    } else if (message.kind === 'run_failed') {
      const text = `${basename(this.#options.modelPath)} failed to run: ${plain(message.message)}`;
      const error = new StatusError(codeOf(message.code), text);
      this.#finish({ ok: false, error, hasEnded: false });
    } else if (message.kind === 'loaded') {
      this.inputs = message.inputs;
      this.outputs = message.outputs;
      this.#settleLoad(undefined);
    } else {
      this.#stops = true;
      const text = loadProblem(message.message, this.#options.modelPath);
      this.#settleLoad(new StatusError(Code.INVALID_ARGUMENT, text));
    }
  }

  #finish(outcome: RunOutcome): void {
    const run = this.#run;
    this.#run = undefined;
    if (this.#stops) this.#ringStop();
    run?.done(outcome);
  }

  #outcome(index: number): RunOutcome {
    const run = this.#run;
    const slab = this.#outputSlabs[index];
    if (run === undefined || slab === undefined) {
      return { ok: false, error: internal('an answer without a run'), hasEnded: false };
    }
    const computeOutputNs = this.#controlNs[CONTROL_NS.OUTPUT] ?? 0;
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
      computeInputNs: run.computeInputNs,
      computeInferNs: Math.max(0, sinceNs - computeOutputNs),
      computeOutputNs,
    };
  }

  #bury(exitCode: number): StatusError | undefined {
    const wasAsked = this.#stops && this.#run === undefined;
    const why = this.#crash instanceof Error ? this.#crash.message : `exit code ${exitCode}`;
    const error = new StatusError(
      Code.UNAVAILABLE,
      `the thread that runs ${basename(this.#options.modelPath)} ended: ${why}; try again`,
    );
    this.#stops = true;
    this.#settleLoad(error);
    const run = this.#run;
    this.#run = undefined;
    run?.done({ ok: false, error, hasEnded: true });
    return wasAsked ? undefined : error;
  }
}

function internal(message: string): StatusError {
  return new StatusError(Code.INTERNAL, message);
}

/** One line: where the runtime's own source says it is helps nobody here. */
function plain(message: string): string {
  return message.replaceAll(/\s+/g, ' ').trim();
}

/** ONNX Runtime's reason, without this machine's folders in it. */
function loadProblem(message: string, modelPath: string): string {
  const text = plain(message).replaceAll(`${dirname(modelPath)}/`, '');
  const type = /^Unsupported data type: (\d+)$/.exec(text)?.[1];
  if (type === undefined) return `${basename(modelPath)} can not be loaded: ${text}`;
  const name = type === '16' ? 'BF16' : `of ONNX element type ${type}`;
  return (
    `${basename(modelPath)} has inputs or outputs ${name}, which ONNX Runtime's binding for Node ` +
    'does not carry: cast them to FP32 inside the model'
  );
}
