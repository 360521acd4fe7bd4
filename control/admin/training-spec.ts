// What a training job is asked for, read from the admin API's message: checked as far as it can be
// before the job runs, with the algorithm's defaults filled in, so that the job's document says all
// that it will do.
import {
  type DatasetDoc,
  MAX_EPOCHS,
  MAX_HELD_OUT_RATIO,
  MAX_HIDDEN_LAYERS,
  MAX_LAYER_UNITS,
  MAX_TRAINING_BATCH_ROWS,
  MIN_HELD_OUT_RATIO,
  MIN_IMAGE_SIDE,
  type TrainSpec,
} from '../../catalog/documents.ts';
import { trainingColumns } from '../../catalog/training-columns.ts';
import { checkName } from '../../common/names.ts';
import { invalidArgument } from '../../common/status.ts';
import type { TrainingSpec } from '../../proto/gen/torus/v1/job.ts';
import { fromEnum } from './fields.ts';
import { datasetMaybeVersionOf } from './resource-names.ts';

const MAX_SEED = 2 ** 31;
export const DEFAULT_HELD_OUT_RATIO = 0.2;
/** Longest side of an image, or its channels. */
const MAX_IMAGE_SIZE = 65_536;

type Defaults = Pick<TrainSpec, 'epochs' | 'batchSize' | 'learningRate' | 'hiddenUnits'>;

/**
 * Used where a job says nothing (on the wire: 0 or empty). They give a fair result on a few
 * thousand rows within a minute.
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
  const { id, version } = datasetMaybeVersionOf(message.dataSet, 'data_set');
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
  // Without a schema there is nothing to check yet; the trainer checks the version that it reads.
  if (dataset.columns.length > 0) trainingColumns(dataset.columns, spec);
  return spec;
}

type Hyperparameters = Defaults & Pick<TrainSpec, 'imageShape'>;

function hyperparametersOf(
  { hyperparameters: given }: TrainingSpec,
  algorithm: TrainSpec['algorithm'],
): Hyperparameters {
  const defaults = TRAINING_DEFAULTS[algorithm];
  const imageShape = imageShapeOf(algorithm, given?.imageShape ?? []);
  return {
    epochs: within('epochs', orDefault(given?.epochs, defaults.epochs), MAX_EPOCHS),
    batchSize: within(
      'batch_size',
      orDefault(given?.batchSize, defaults.batchSize),
      MAX_TRAINING_BATCH_ROWS,
    ),
    learningRate: learningRateOf(orDefault(given?.learningRate, defaults.learningRate)),
    hiddenUnits: hiddenUnitsOf(algorithm, given?.hiddenUnits ?? []),
    ...(imageShape === undefined ? {} : { imageShape }),
  };
}

/** Training computes in FP32. */
function learningRateOf(rate: number): number {
  const single = Math.fround(rate);
  if (single > 0 && Number.isFinite(single)) return rate;
  throw invalidArgument(
    `learning_rate ${rate} must be a positive number within FP32 (1.5e-45 to 3.4e38); ` +
      '0.0001 to 0.01 are usual',
  );
}

/** Empty: the algorithm's own. */
function hiddenUnitsOf(algorithm: TrainSpec['algorithm'], given: number[]): number[] {
  if (given.length === 0) return TRAINING_DEFAULTS[algorithm].hiddenUnits;
  if (algorithm === 'linear') {
    throw invalidArgument('hidden_units must be empty: linear has no hidden layers, MLP has');
  }
  if (given.length > MAX_HIDDEN_LAYERS) {
    throw invalidArgument(
      `hidden_units has ${given.length} layers, the most are ${MAX_HIDDEN_LAYERS}`,
    );
  }
  for (const units of given) within('hidden_units', units, MAX_LAYER_UNITS);
  return given;
}

function imageShapeOf(algorithm: TrainSpec['algorithm'], given: number[]): number[] | undefined {
  if (given.length === 0 && algorithm !== 'cnn') return undefined;
  const [height, width, channels, ...more] = given;
  if (height === undefined || width === undefined || channels === undefined || more.length > 0) {
    throw invalidArgument(
      `image_shape [${given.slice(0, 8)}] must be three numbers: height, width and channels`,
    );
  }
  for (const size of given) within('image_shape', size, MAX_IMAGE_SIZE);
  if (algorithm === 'cnn' && Math.min(height, width) < MIN_IMAGE_SIDE) {
    throw invalidArgument(
      `image_shape ${given.join(' x ')} is too small: a CNN needs at least ${MIN_IMAGE_SIDE} x ` +
        `${MIN_IMAGE_SIDE}`,
    );
  }
  return given;
}

/** 0 is how the wire says nothing. */
function orDefault(value: number | undefined, otherwise: number): number {
  return value === undefined || value === 0 ? otherwise : value;
}

function within(field: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw invalidArgument(`${field} ${value} must be a whole number from 1 to ${max}`);
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
