// Worker threads for engines, used again: a thread that ends leaves some 25 KiB of Node's own
// behind, and a new one takes 50 ms to load the runtime. Those not in use sleep, and don't hold the
// process. Shared memory stays with its thread: it would be given back only once both ends have
// collected their garbage.
import '../../../common/no-telemetry.ts';
import { Worker } from 'node:worker_threads';
import { keptIdle, type Slab } from '../slab.ts';
import {
  COMMAND,
  CONTROL,
  CONTROL_BYTES,
  type Command,
  type InputSlabMessage,
  type LoadMessage,
  MEASURED,
  type WorkerMessage,
  type WorkerSetup,
} from './protocol.ts';

/** More unused threads than that are ended: each keeps some 10 MiB. */
export const MAX_SPARE_THREADS = 2;

const WORKER_URL = new URL('./worker.ts', import.meta.url);

export class EngineThread {
  onMessage: (message: WorkerMessage) => void = () => {};
  /** Once: the thread has ended, with the reason. */
  onEnded: (why: string) => void = () => {};
  /** Where its runs find their inputs; it knows of it from the first run with it on. */
  inputSlab: Slab | undefined;
  readonly outputSlabs: (Slab | undefined)[] = [undefined, undefined];
  readonly #worker: Worker;
  readonly #words: Int32Array;
  readonly #measured: Float64Array;

  constructor(workerUrl: URL) {
    const control = new SharedArrayBuffer(CONTROL_BYTES);
    this.#words = new Int32Array(control);
    this.#measured = new Float64Array(control);
    this.#worker = new Worker(workerUrl, {
      workerData: { control } satisfies WorkerSetup,
      name: 'torus-engine',
      // Flags of the process (a program given by --eval, for one) are not the thread's.
      execArgv: [],
    });
    let why: string | undefined;
    this.#worker.on('message', (message: WorkerMessage) => this.onMessage(message));
    this.#worker.on('error', (error) => {
      why = error instanceof Error ? error.message : String(error);
    });
    this.#worker.on('exit', (exitCode) => this.onEnded(why ?? `exit code ${exitCode}`));
  }

  /** Of the last run, from the runtime's memory to the slab. */
  get outputNs(): number {
    return this.#measured[MEASURED.OUTPUT_NS] ?? 0;
  }

  /** Of the last run, inside the runtime. */
  get runNs(): number {
    return this.#measured[MEASURED.RUN_NS] ?? 0;
  }

  /** The message is there before the thread wakes. */
  command(command: Command, message?: LoadMessage | InputSlabMessage): void {
    if (message !== undefined) this.#worker.postMessage(message);
    Atomics.store(this.#words, CONTROL.COMMAND, command);
    Atomics.add(this.#words, CONTROL.DOORBELL, 1);
    Atomics.notify(this.#words, CONTROL.DOORBELL);
  }

  /** Whether the process stays while this thread lives. */
  hold(isHeld: boolean): void {
    if (isHeld) this.#worker.ref();
    else this.#worker.unref();
  }
}

export class SpareThreads {
  readonly #workerUrl: URL;
  #spare: EngineThread[] = [];

  /** Another program for the threads than the engine's own is for tests that let them die. */
  constructor(workerUrl: URL = WORKER_URL) {
    this.#workerUrl = workerUrl;
  }

  take(): EngineThread {
    const thread = this.#spare.pop() ?? new EngineThread(this.#workerUrl);
    thread.hold(true);
    return thread;
  }

  /** A thread that has nothing loaded. */
  give(thread: EngineThread): void {
    thread.inputSlab = keptIdle(thread.inputSlab);
    thread.outputSlabs.forEach((slab, index) => {
      thread.outputSlabs[index] = keptIdle(slab);
    });
    thread.onMessage = () => {};
    thread.onEnded = () => {
      this.#spare = this.#spare.filter((other) => other !== thread);
    };
    if (this.#spare.length >= MAX_SPARE_THREADS) thread.command(COMMAND.END);
    else {
      this.#spare.push(thread);
      thread.hold(false);
    }
  }
}
