// The thread of one instance: loads the model, then runs batches, one at a time, until told to
// stop. It is never killed: a thread that ends inside native code takes the whole process with it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Code, statusOf } from '../../../common/status.ts';
import type { TensorSpec } from '../../../common/tensor.ts';
import { keptIdle, layOut, Slab, slabFor, writeTable } from '../slab.ts';
import { type OrtSession, type OrtValue, type OrtValueInfo, ortOfThread } from './binding.ts';
import { bytesOfValue, feedsOf } from './feeds.ts';
import {
  COMMAND,
  CONTROL,
  type InputSlabMessage,
  type LoadMessage,
  MEASURED,
  type WorkerMessage,
  type WorkerSetup,
} from './protocol.ts';

// With it the package would make tensors that its own native part can't read: FP16 inputs and
// outputs work as 16-bit patterns only (onnxruntime-node 1.30 on Node 24).
Reflect.deleteProperty(globalThis, 'Float16Array');
const ort = await ortOfThread();

/**
 * Outputs are given back to the runtime in a turn of the event loop after their garbage was
 * collected. Runs need none, so there is one now and then, once the answer has been told.
 */
const RUNS_A_TURN = 16;
const OUTPUT_BYTES_A_TURN = 1024 * 1024;

const setup = workerData as WorkerSetup;
const control = new Int32Array(setup.control);
const measured = new Float64Array(setup.control);
let seen = 0;

function tell(message: WorkerMessage): void {
  parentPort?.postMessage(message);
}

/** Sleeps until the doorbell rings. */
function nextCommand(): number {
  Atomics.wait(control, CONTROL.DOORBELL, seen);
  seen = Atomics.load(control, CONTROL.DOORBELL);
  return Atomics.load(control, CONTROL.COMMAND);
}

function receive(): unknown {
  return parentPort === null ? undefined : receiveMessageOnPort(parentPort)?.message;
}

function specsOf(values: readonly OrtValueInfo[], kind: string): TensorSpec[] {
  return values.map(({ name, isTensor, typeName, datatype, shape }) => {
    if (!isTensor) {
      throw new Error(
        `${kind} '${name}' is a sequence or a map, only tensors can be served (classifiers ` +
          'from scikit-learn: convert with zipmap off)',
      );
    }
    if (datatype === undefined) {
      throw new Error(
        `${kind} '${name}' is of type ${typeName}: ONNX Runtime's binding for Node does not ` +
          'carry such tensors, cast them to FP32 inside the model',
      );
    }
    return { name, datatype, shape };
  });
}

/** The two slabs of a model's outputs, used in turn. */
class OutputSlabs {
  readonly #slabs: (Slab | undefined)[] = [undefined, undefined];
  #turn = 0;
  /** Of the last outputs. */
  sizeBytes = 0;

  /** Copies the outputs, telling the owner of a new slab. Returns which it is. */
  publish(results: readonly OrtValue[]): number {
    const index = this.#turn;
    const data = results.map((value) => bytesOfValue(value));
    const { places, sizeBytes } = layOut(
      results.map(({ dims }, i) => ({ lengthBytes: data[i]?.length ?? 0, shape: dims })),
    );
    const slab = slabFor(this.#slabs[index], sizeBytes);
    if (slab !== this.#slabs[index]) {
      this.#slabs[index] = slab;
      tell({ kind: 'output_slab', index, slab: slab.buffer });
    }
    this.sizeBytes = sizeBytes;
    writeTable(slab.words, places);
    for (const [i, { offset }] of places.entries()) slab.bytes.set(data[i] ?? [], offset);
    this.#turn = 1 - index;
    return index;
  }

  rest(): void {
    this.#slabs.forEach((slab, index) => {
      this.#slabs[index] = keptIdle(slab);
    });
  }
}

const outputSlabs = new OutputSlabs();
let inputSlab: Slab | undefined;

async function serve(session: OrtSession, inputs: readonly TensorSpec[]): Promise<void> {
  const { runNow, outputs } = session;
  let runs = 0;
  let outputBytes = 0;
  while (nextCommand() === COMMAND.RUN) {
    const message = receive() as InputSlabMessage | undefined;
    if (message !== undefined) inputSlab = new Slab(message.slab);
    try {
      if (inputSlab === undefined) throw new Error('a run without inputs');
      const beganMs = performance.now();
      const feeds = feedsOf(inputSlab, inputs);
      const results = runNow === undefined ? await session.run(feeds) : runNow(feeds);
      const startMs = performance.now();
      measured[MEASURED.RUN_NS] = (startMs - beganMs) * 1e6;
      const index = outputSlabs.publish(outputs.map(({ name }) => results[name] as OrtValue));
      measured[MEASURED.OUTPUT_NS] = (performance.now() - startMs) * 1e6;
      tell(index);
      runs += 1;
      outputBytes += outputSlabs.sizeBytes;
      if (runs >= RUNS_A_TURN || outputBytes >= OUTPUT_BYTES_A_TURN) {
        await nextTurn();
        runs = 0;
        outputBytes = 0;
      }
    } catch (thrown) {
      const { code, message } = statusOf(thrown, Code.INTERNAL);
      tell({ kind: 'run_failed', code, message });
    }
  }
}

async function host({ modelPath, intraOpThreads }: LoadMessage): Promise<void> {
  let session: OrtSession | undefined;
  let inputs: TensorSpec[];
  const beganMs = performance.now();
  try {
    session = await ort.open({ modelPath, intraOpThreads });
    inputs = specsOf(session.inputs, 'input');
    const outputs = specsOf(session.outputs, 'output');
    tell({ kind: 'loaded', inputs, outputs, loadMs: performance.now() - beganMs });
  } catch (thrown) {
    await session?.release();
    tell({ kind: 'load_failed', message: statusOf(thrown).message });
    return;
  }
  await serve(session, inputs);
  await session.release();
  outputSlabs.rest();
  inputSlab = keptIdle(inputSlab);
  tell({ kind: 'released' });
  // What the runs left is memory outside of the heap, which a thread that sleeps would hold on to.
  // There where the process was started with --expose-gc, as torus up is.
  globalThis.gc?.();
}

while (nextCommand() === COMMAND.LOAD) await host(receive() as LoadMessage);
