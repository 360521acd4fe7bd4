// What a training job is asked for, read from the admin API's message: checked as far as it can be
// before the job runs, with the algorithm's defaults filled in, so that the job's document says all
// that it will do.
import type { DatasetDoc, TrainSpec } from '../../catalog/documents.ts';
import { checkName } from '../../common/names.ts';
import { invalidArgument } from '../../common/status.ts';
import type { TrainingSpec } from '../../proto/gen/torus/v1/job.ts';
import { fromEnum } from './fields.ts';
import { datasetMaybeVersionOf } from './resource-names.ts';

const MAX_SEED = 2 ** 31;
const DEFAULT_HELD_OUT_RATIO = 0.2;
const MIN_HELD_OUT_RATIO = 0.01;
const MAX_HELD_OUT_RATIO = 0.9;

type Defaults = Pick<TrainSpec, 'epochs' | 'batchSize' | 'learningRate' | 'hiddenUnits'>;

/**
 * Used where a job says nothing: they give a fair result on a few thousand rows within a minute.
 */
export const TRAINING_DEFAULTS: Record<TrainSpec['algorithm'], Defaults> = {
  linear: { epochs: 40, batchSize: 32, learningRate: 0.01, hiddenUnits: [] },
  mlp: { epochs: 40, batchSize: 32, learningRate: 0.001, hiddenUnits: [64, 32] },
  cnn: { epochs: 15, batchSize: 32, learningRate: 0.001, hiddenUnits: [64] },
};

/** @param randomSeed whole, for a job that names none. */
export function trainSpecOf(
  message: TrainingSpec,
  dataset: DatasetDoc,
  randomSeed: number,
): TrainSpec {
  const { id, version } = datasetMaybeVersionOf(message.dataSet);
  const algorithm = fromEnum(
    'algorithm',
    {
      ALGORITHM_UNSPECIFIED: 'linear',
      ALGORITHM_LINEAR: 'linear',
      ALGORITHM_MLP: 'mlp',
      ALGORITHM_CNN: 'cnn',
    } as const,
    message.algorithm,
  );
  const task = fromEnum(
    'task',
    {
      TRAINING_TASK_UNSPECIFIED: 'any',
      TRAINING_TASK_CLASSIFICATION: 'classification',
      TRAINING_TASK_REGRESSION: 'regression',
    } as const,
    message.task,
  );
  const target = message.targetColumn === '' ? dataset.targetColumn : message.targetColumn;
  if (target === '') {
    throw invalidArgument(
      `target_column must be given: data set '${id}' names none that it is for`,
    );
  }
  const spec: TrainSpec = {
    kind: 'train',
    dataset: id,
    datasetVersion: version,
    target,
    features: message.featureColumns,
    algorithm,
    ...(task === 'any' ? {} : { task }),
    model: checkName('model', message.modelId),
    ...hyperparametersOf(message, algorithm),
    heldOutRatio: heldOutRatioOf(message.heldOutRatio ?? DEFAULT_HELD_OUT_RATIO),
    seed: seedOf(message.seed, randomSeed),
    promotes: message.promote,
  };
  checkColumns(spec, dataset);
  return spec;
}

type Hyperparameters = Defaults & Pick<TrainSpec, 'imageShape'>;

function hyperparametersOf(
  { hyperparameters: given }: TrainingSpec,
  algorithm: TrainSpec['algorithm'],
): Hyperparameters {
  const defaults = TRAINING_DEFAULTS[algorithm];
  const learningRate = orDefault(given?.learningRate, defaults.learningRate);
  if (!(learningRate > 0 && Number.isFinite(learningRate))) {
    throw invalidArgument(`learning_rate ${learningRate} must be a positive number`);
  }
  const hiddenUnits = given?.hiddenUnits.length ? given.hiddenUnits : defaults.hiddenUnits;
  if (hiddenUnits.length > 16) throw invalidArgument('hidden_units has more than 16 layers');
  for (const units of hiddenUnits) within('hidden_units', units, 1, 65_536);
  const imageShape = given?.imageShape ?? [];
  if (algorithm === 'cnn' && imageShape.length !== 3) {
    throw invalidArgument('image_shape must be height, width and channels for a CNN');
  }
  for (const size of imageShape) within('image_shape', size, 1, 65_536);
  const [height, width, channels] = imageShape;
  const hasImage = height !== undefined && width !== undefined && channels !== undefined;
  return {
    epochs: within('epochs', orDefault(given?.epochs, defaults.epochs), 1, 100_000),
    batchSize: within('batch_size', orDefault(given?.batchSize, defaults.batchSize), 1, 65_536),
    learningRate,
    hiddenUnits,
    ...(hasImage ? { imageShape: [height, width, channels] } : {}),
  };
}

/** 0 is how the wire says nothing. */
function orDefault(value: number | undefined, otherwise: number): number {
  return value === undefined || value === 0 ? otherwise : value;
}

function within(field: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalidArgument(`${field} ${value} must be a whole number from ${min} to ${max}`);
}

function heldOutRatioOf(ratio: number): number {
  if (ratio >= MIN_HELD_OUT_RATIO && ratio <= MAX_HELD_OUT_RATIO) return ratio;
  throw invalidArgument(
    `held_out_ratio ${ratio} must be ${MIN_HELD_OUT_RATIO} to ${MAX_HELD_OUT_RATIO}`,
  );
}

function seedOf(seed: bigint | undefined, random: number): number {
  if (seed === undefined) return random;
  if (seed >= 0n && seed < BigInt(MAX_SEED)) return Number(seed);
  throw invalidArgument(`seed ${seed} must be 0 to ${MAX_SEED - 1}`);
}

/** What can be told before the job runs; the trainer checks against the version it reads. */
function checkColumns(spec: TrainSpec, { name, columns }: DatasetDoc): void {
  if (columns.length === 0) return;
  const names = columns.map((column) => column.name);
  const shown = `${names.slice(0, 20).join(', ')}${names.length > 20 ? ', ...' : ''}`;
  for (const wanted of [spec.target, ...spec.features]) {
    if (names.includes(wanted)) continue;
    const text = JSON.stringify(wanted.slice(0, 100));
    throw invalidArgument(`${text} is no column of data set '${name}', which has: ${shown}`);
  }
  if (spec.features.includes(spec.target)) {
    throw invalidArgument(`target_column '${spec.target}' can't be one of feature_columns too`);
  }
  if (spec.imageShape === undefined) return;
  const features = spec.features.length || columns.length - 1;
  const pixels = spec.imageShape.reduce((product, size) => product * size, 1);
  if (pixels === features) return;
  throw invalidArgument(
    `image_shape ${spec.imageShape.join(' x ')} has ${pixels} values, but there are ` +
      `${features} feature columns`,
  );
}
