import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { TrainSpec } from '../catalog/documents.ts';
import { systemClock, VirtualClock } from '../common/clock.ts';
import { Code, StatusError } from '../common/status.ts';
import { readOnnx } from '../model/onnx/reader.ts';
import {
  batchesOf,
  digits,
  featuresOf,
  penguins,
  type Sample,
  targetOf,
  trainSpecOf,
} from '../test/support/training-data.ts';
import type { PackedBatch } from './columns/packed.ts';
import {
  MAX_WAITING_BATCHES,
  runTrainingProcess,
  STOP_GRACE_MS,
  type TrainingProcessOptions,
} from './training-process.ts';

let directory = '';
let made = 0;
test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'torus-training-'));
});
test.after.always(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function* asynchronously(batches: Iterable<PackedBatch>): AsyncGenerator<PackedBatch> {
  yield* batches;
}

function optionsFor(
  sample: Sample,
  spec: Partial<TrainSpec>,
  given: Partial<TrainingProcessOptions> = {},
): TrainingProcessOptions {
  made += 1;
  return {
    request: {
      spec: trainSpecOf(sample, spec),
      features: featuresOf(sample),
      target: targetOf(sample),
      modelPath: join(directory, `${made}.onnx`),
    },
    batches: asynchronously(batchesOf(sample)),
    signal: new AbortController().signal,
    clock: systemClock,
    listener: { onEpoch: () => {}, onExport: () => {} },
    ...given,
  };
}

test.serial('digits: a perceptron learns and its file has the promised interface', async (t) => {
  const epochs: number[] = [];
  const listener = { onEpoch: (epoch: number) => epochs.push(epoch), onExport: () => {} };
  const spec = { algorithm: 'mlp', epochs: 12, learningRate: 0.003 } as const;
  const options = optionsFor(digits(), spec, { listener });
  const result = await runTrainingProcess(options);

  t.true((result.metrics.val_accuracy ?? 0) >= 0.95, `${result.metrics.val_accuracy}`);
  t.true((result.metrics.max_abs_difference ?? 1) <= 1e-4);
  t.deepEqual(
    epochs,
    Array.from({ length: 12 }, (_, index) => index + 1),
  );
  const model = readOnnx(await readFile(options.request.modelPath));
  t.like(model.inputs[0], { name: 'features', datatype: 'FP32', shape: [-1, 64] });
  t.deepEqual(
    model.outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    [
      { name: 'label', datatype: 'INT64', shape: [-1, 1] },
      { name: 'probabilities', datatype: 'FP32', shape: [-1, 10] },
    ],
  );
});

test.serial('penguins: mixed columns with missing values are learned', async (t) => {
  const options = optionsFor(penguins(), { algorithm: 'mlp', epochs: 40, hiddenUnits: [16] });
  const result = await runTrainingProcess(options);

  t.true((result.metrics.val_accuracy ?? 0) >= 0.95, `${result.metrics.val_accuracy}`);
});

test.serial('what is wrong with the data comes back with its code', async (t) => {
  const sample = { ...digits(), rows: digits().rows.slice(0, 5) };
  const error = await t.throwsAsync(runTrainingProcess(optionsFor(sample, {})), {
    instanceOf: StatusError,
    message: /has 5 rows: training needs at least 10/,
  });
  t.is(error?.code, Code.FAILED_PRECONDITION);
});

test.serial('an error of the source ends the process and is the answer', async (t) => {
  const batches = (async function* (): AsyncGenerator<PackedBatch> {
    yield* [...batchesOf(digits())].slice(0, 2);
    throw new StatusError(Code.UNAVAILABLE, 'the store is gone');
  })();
  const error = await t.throwsAsync(runTrainingProcess(optionsFor(digits(), {}, { batches })));
  t.like(error, { code: Code.UNAVAILABLE, message: 'the store is gone' });
});

/** A program in place of the training process. */
async function program(source: string): Promise<string> {
  made += 1;
  const path = join(directory, `${made}.mjs`);
  await writeFile(path, source);
  return path;
}

test.serial('a process that dies is an error that says how, and what it said', async (t) => {
  const programPath = await program(
    "console.error('no such library'); process.kill(process.pid, 'SIGSEGV');",
  );
  const error = await t.throwsAsync(runTrainingProcess(optionsFor(digits(), {}, { programPath })), {
    instanceOf: StatusError,
    message: /ended by SIGSEGV; it said: no such library/,
  });
  t.is(error?.code, Code.INTERNAL);
});

test.serial('a process that the system killed is told as what that mostly means', async (t) => {
  const programPath = await program("process.kill(process.pid, 'SIGKILL');");
  const error = await t.throwsAsync(runTrainingProcess(optionsFor(digits(), {}, { programPath })), {
    instanceOf: StatusError,
    message: /out of memory \(it was ended by SIGKILL.*\): use fewer rows/,
  });
  t.is(error?.code, Code.RESOURCE_EXHAUSTED);
});

test.serial('a process that runs out of memory says so, and what to do', async (t) => {
  const error = await t.throwsAsync(
    runTrainingProcess(optionsFor(digits(), {}, { heapLimitMb: 8 })),
    { instanceOf: StatusError, message: /out of memory \(its heap may take 8 MB\): use fewer/ },
  );
  t.is(error?.code, Code.RESOURCE_EXHAUSTED);
});

test.serial(
  'rows wait for a process that takes none; one that does not stop is killed',
  async (t) => {
    const programPath = await program(
      'process.on("message", () => {}); setInterval(() => {}, 1e6);',
    );
    const clock = new VirtualClock();
    const stop = new AbortController();
    let pulled = 0;
    const batches = (async function* (): AsyncGenerator<PackedBatch> {
      for (const batch of batchesOf(digits(), 10)) {
        pulled += 1;
        // The one too many is held, not sent: nothing asks for another after it.
        if (pulled > MAX_WAITING_BATCHES) setImmediate(() => stop.abort(new Error('enough')));
        yield batch;
      }
    })();
    stop.signal.addEventListener('abort', () => setImmediate(() => clock.advance(STOP_GRACE_MS)));
    const given = { programPath, clock, batches, signal: stop.signal };
    await t.throwsAsync(runTrainingProcess(optionsFor(digits(), {}, given)), { message: 'enough' });
    t.is(pulled, MAX_WAITING_BATCHES + 1);
  },
);

test.serial('a cancel while rows are read ends the process without a kill', async (t) => {
  const stop = new AbortController();
  const batches = (async function* (): AsyncGenerator<PackedBatch> {
    yield* [...batchesOf(digits())].slice(0, 1);
    stop.abort(new Error('cancelled'));
  })();
  // Under a clock that stands still nothing would be killed.
  const given = { batches, signal: stop.signal, clock: new VirtualClock() };
  await t.throwsAsync(runTrainingProcess(optionsFor(digits(), {}, given)), {
    message: 'cancelled',
  });
});

test.serial('a cancel between epochs ends the process without a kill', async (t) => {
  const stop = new AbortController();
  const listener = { onEpoch: () => stop.abort(new Error('cancelled')), onExport: () => {} };
  const given = { listener, signal: stop.signal, clock: new VirtualClock() };
  const options = optionsFor(penguins(), { epochs: 100_000 }, given);
  await t.throwsAsync(runTrainingProcess(options), { message: 'cancelled' });
});

test.serial('a cancel during the export ends the process without a kill', async (t) => {
  const stop = new AbortController();
  const listener = { onEpoch: () => {}, onExport: () => stop.abort(new Error('cancelled')) };
  const given = { listener, signal: stop.signal, clock: new VirtualClock() };
  const options = optionsFor(penguins(), { epochs: 1 }, given);
  await t.throwsAsync(runTrainingProcess(options), { message: 'cancelled' });
});

test.serial('the process sees nothing of the environment but what it needs', async (t) => {
  process.env.TORUS_SECRET_OF_THE_PARENT = 'x';
  const programPath = await program(`
    const names = Object.keys(process.env).filter((name) => name.includes('SECRET'));
    process.send({ kind: 'failed', code: 13, message: 'saw ' + names.length + ' secrets' });
    process.disconnect();
  `);
  await t.throwsAsync(runTrainingProcess(optionsFor(digits(), {}, { programPath })), {
    message: 'saw 0 secrets',
  });
});

test.serial('without its parent the process ends', async (t) => {
  const child = fork(new URL('child.ts', import.meta.url), { serialization: 'advanced' });
  const { spec, features, target, modelPath } = optionsFor(digits(), {}).request;
  child.send({ kind: 'start', request: { spec, features, target, modelPath } });
  child.disconnect();
  t.deepEqual(await once(child, 'exit'), [1, null]);
});

test.serial('signals that a terminal sends to all do not end the process', async (t) => {
  const child = fork(new URL('child.ts', import.meta.url), { serialization: 'advanced' });
  t.teardown(() => child.kill('SIGKILL'));
  const { spec, features, target, modelPath } = optionsFor(digits(), {}).request;
  child.send({ kind: 'start', request: { spec, features, target, modelPath } });
  const [batch] = batchesOf(digits());
  for (const name of ['SIGINT', 'SIGTERM', 'SIGINT'] as const) {
    child.send({ kind: 'rows', batch });
    t.deepEqual(await once(child, 'message'), [{ kind: 'next' }, undefined]);
    child.kill(name);
  }
});
