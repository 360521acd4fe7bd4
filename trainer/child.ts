// The training process: one job, then it ends. It takes rows over IPC, trains, writes the ONNX
// file, and says how it went; without its parent it ends at once. What it computes blocks no one
// else's thread.
import { writeFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { Code, StatusError, statusOf } from '../common/status.ts';
import { TableBuilder } from './columns/table.ts';
import type { FromTraining, ToTraining, TrainingRequest, TrainingResult } from './messages.ts';
import { isOutOfMemory, outOfMemory } from './out-of-memory.ts';
import { startBackend } from './tfjs/backend.ts';
import { trainModel } from './training.ts';

/** Between batches other events (cancel, the parent's end) get their turn this often. */
const PAUSE_MS = 20;

let request: TrainingRequest | undefined;
let builder: TableBuilder | undefined;
let isCancelled = false;
let isTraining = false;
let pausedMs = performance.now();

function send(message: FromTraining): Promise<void> {
  return new Promise((resolve) => {
    // Without a parent nobody hears it: 'disconnect' ends the process.
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, () => resolve());
  });
}

async function pause(): Promise<void> {
  if (performance.now() - pausedMs >= PAUSE_MS) {
    await setImmediate();
    pausedMs = performance.now();
  }
  if (isCancelled) throw cancelled();
}

function cancelled(): StatusError {
  return new StatusError(Code.CANCELLED, 'the training was cancelled');
}

async function train(): Promise<TrainingResult> {
  if (request === undefined || builder === undefined) {
    throw new StatusError(Code.INTERNAL, 'told to train before any request');
  }
  const { spec, modelPath, nativeModulePath, backend: only } = request;
  const table = builder.finish();
  builder = undefined;
  isTraining = true;
  const backend = await startBackend({ nativeModulePath, only });
  const startMs = performance.now();
  const model = await trainModel(spec, table, {
    onEpoch: (epoch, metrics) => void send({ kind: 'epoch', epoch, metrics }),
    onExport: () => void send({ kind: 'export' }),
    pause,
  });
  await writeFile(modelPath, model.onnx);
  const { inputs, outputs, task, heldOutRows } = model;
  const metrics = { ...model.metrics, training_seconds: (performance.now() - startMs) / 1000 };
  return { inputs, outputs, task, backend, metrics, heldOutRows };
}

/** Errors of the engine that come of a lack of memory say other things. */
function told(error: unknown): StatusError {
  const status = statusOf(error);
  const isEngines = !(error instanceof StatusError);
  return isEngines && isOutOfMemory(status.message) ? outOfMemory(status.message) : status;
}

async function take(message: ToTraining): Promise<void> {
  switch (message.kind) {
    case 'start':
      request = message.request;
      builder = new TableBuilder(request.features, request.target);
      break;
    case 'rows':
      builder?.add(message.batch);
      await send({ kind: 'next' });
      break;
    case 'train':
      await send({ kind: 'done', result: await train() });
      process.exit(0);
      break;
    case 'cancel':
      isCancelled = true;
      if (!isTraining) throw cancelled();
  }
}

// Whoever stops the whole of Torus may send this to all of its processes: the trainer says when.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {});
process.on('disconnect', () => process.exit(1));
process.on('message', (message: ToTraining) => {
  take(message).catch(async (error: unknown) => {
    const { code, message: text } = told(error);
    await send({ kind: 'failed', code, message: text });
    process.exit(1);
  });
});
