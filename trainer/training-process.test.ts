import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { TrainSpec } from '../catalog/documents.ts';
import { systemClock } from '../common/clock.ts';
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
import { runTrainingProcess, type TrainingProcessOptions } from './training-process.ts';

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
