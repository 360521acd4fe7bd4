// One training process, seen from the trainer: started, fed with rows no faster than it takes them,
// listened to, cancelled, and in every case over when the promise settles. Its crash, a lack of
// memory included, is an error of the job and of nothing else.
import { type ChildProcess, fork } from 'node:child_process';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../common/clock.ts';
import { Code, codeOf, StatusError, statusOf } from '../common/status.ts';
import type { PackedBatch } from './columns/packed.ts';
import type { FromTraining, ToTraining, TrainingRequest, TrainingResult } from './messages.ts';
import { isOutOfMemory, outOfMemory } from './out-of-memory.ts';

/** JavaScript memory of a training process (typed arrays and wasm not counted): more ends it. */
export const CHILD_HEAP_LIMIT_MB = 1024;
/** Batches sent and not yet taken, at most. */
export const MAX_WAITING_BATCHES = 4;
/** A process that was told to stop, or has told its end, is killed after that. */
export const STOP_GRACE_MS = 5_000;
/** Serving comes first on a busy machine: 0 is usual, 19 the most patient. */
export const CHILD_NICENESS = 5;
/** Kept of its stderr, to say why it died. */
const MAX_STDERR_CHARACTERS = 4_096;

/**
 * All that a training process sees of the environment: where programs, libraries and devices are.
 */
const PASSED_VARIABLES = ['PATH', 'HOME', 'TMPDIR', 'LD_LIBRARY_PATH', 'CUDA_VISIBLE_DEVICES'];

export interface TrainingListener {
  onEpoch(epoch: number, metrics: Readonly<Record<string, number>>): void;
  onExport(): void;
}

export interface TrainingProcessOptions {
  readonly request: TrainingRequest;
  readonly batches: AsyncIterable<PackedBatch>;
  /** Aborted: the process is told to stop, and the promise rejects with the signal's reason. */
  readonly signal: AbortSignal;
  readonly listener: TrainingListener;
  readonly clock: Clock;
  /** CHILD_HEAP_LIMIT_MB when absent. */
  readonly heapLimitMb?: number;
  /** The program that is run; the training process unless a test says otherwise. */
  readonly programPath?: string;
}

/**
 * Resolves when the model's file is written and the process has ended.
 * @throws what the job failed of; INTERNAL or RESOURCE_EXHAUSTED when the process died.
 */
export async function runTrainingProcess(options: TrainingProcessOptions): Promise<TrainingResult> {
  options.signal.throwIfAborted();
  const run = new TrainingRun(options);
  return await run.result();
}

class TrainingRun {
  readonly #options: TrainingProcessOptions;
  readonly #heapLimitMb: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #stderr = '';
  #answer: TrainingResult | undefined;
  #failure: StatusError | undefined;
  #hasExited = false;
  #waiting = 0;
  #wake: () => void = () => {};
  #cancelKill: (() => void) | undefined;

  constructor(options: TrainingProcessOptions) {
    this.#options = options;
    this.#heapLimitMb = options.heapLimitMb ?? CHILD_HEAP_LIMIT_MB;
    const program = options.programPath ?? fileURLToPath(new URL('child.ts', import.meta.url));
    this.#child = fork(program, {
      serialization: 'advanced',
      execArgv: [`--max-old-space-size=${this.#heapLimitMb}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: childEnvironment(),
      // A Ctrl-C goes to the whole process group of a terminal; when this one stops is ours to say.
      detached: true,
    });
    this.#exited = new Promise((resolve) => {
      const over = (why: () => void) => {
        why();
        this.#hasExited = true;
        this.#wake();
        resolve();
      };
      // 'close' comes after 'exit', when all of stderr has been read.
      this.#child.once('close', (code, signal) => over(() => this.#onExit(code, signal)));
      this.#child.once('error', (error) => over(() => this.#fail(statusOf(error))));
    });
    this.#child.on('message', (message) => this.#onMessage(message as FromTraining));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAX_STDERR_CHARACTERS);
    });
    lowerPriority(this.#child.pid);
  }

  async result(): Promise<TrainingResult> {
    const { signal } = this.#options;
    const onAbort = () => this.#stop();
    signal.addEventListener('abort', onAbort);
    try {
      await this.#feed();
    } catch (error) {
      this.#fail(statusOf(error));
      this.#stop();
    }
    await this.#exited;
    signal.removeEventListener('abort', onAbort);
    this.#cancelKill?.();
    signal.throwIfAborted();
    if (this.#answer !== undefined) return this.#answer;
    throw this.#failure ?? new StatusError(Code.INTERNAL, 'the training process gave no result');
  }

  async #feed(): Promise<void> {
    this.#send({ kind: 'start', request: this.#options.request });
    for await (const batch of this.#options.batches) {
      while (this.#waiting >= MAX_WAITING_BATCHES && !this.#isOver()) await this.#change();
      if (this.#isOver()) return;
      this.#waiting += 1;
      this.#send({ kind: 'rows', batch });
    }
    this.#send({ kind: 'train' });
  }

  #isOver(): boolean {
    return this.#hasExited || this.#failure !== undefined || this.#options.signal.aborted;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #send(message: ToTraining): void {
    // A process that is gone is told of by 'close', with its reason.
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #onMessage(message: FromTraining): void {
    switch (message.kind) {
      case 'next':
        this.#waiting -= 1;
        break;
      case 'epoch':
        this.#options.listener.onEpoch(message.epoch, message.metrics);
        break;
      case 'export':
        this.#options.listener.onExport();
        break;
      case 'done':
        this.#answer = message.result;
        this.#killLater();
        break;
      case 'failed':
        this.#fail(new StatusError(codeOf(message.code), message.message));
        this.#killLater();
    }
    this.#wake();
  }

  #stop(): void {
    this.#send({ kind: 'cancel' });
    this.#killLater();
    this.#wake();
  }

  #killLater(): void {
    this.#cancelKill ??= this.#options.clock.after(STOP_GRACE_MS, () =>
      this.#child.kill('SIGKILL'),
    );
  }

  #fail(error: StatusError): void {
    this.#failure ??= error;
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#answer !== undefined || this.#failure !== undefined) return;
    const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
    if (isOutOfMemory(this.#stderr)) {
      this.#fail(outOfMemory(`its heap may take ${this.#heapLimitMb} MB`));
      return;
    }
    // Nobody else here sends this to one that has not been told to stop.
    if (signal === 'SIGKILL') {
      this.#fail(outOfMemory('it was ended by SIGKILL, as a system without memory does'));
      return;
    }
    const last = this.#stderr.trim().split('\n').slice(-5).join(' | ');
    const said = last === '' ? '' : `; it said: ${last}`;
    this.#fail(new StatusError(Code.INTERNAL, `the training process ended ${how}${said}`));
  }
}

/** No secret of the parent's environment goes to a process that works on foreign data. */
function childEnvironment(): NodeJS.ProcessEnv {
  const passed = PASSED_VARIABLES.filter((name) => process.env[name] !== undefined);
  return {
    ...Object.fromEntries(passed.map((name) => [name, process.env[name]])),
    // TensorFlow's own messages: errors only.
    TF_CPP_MIN_LOG_LEVEL: '3',
  };
}

function lowerPriority(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, CHILD_NICENESS);
  } catch {
    // Not allowed here, or gone already: it then competes as an equal.
  }
}
