// The catalog's documents: what each kind holds. The catalog is the record of truth; the registry
// only carries what follows from it. Each document has a schema number: N and N-1 are read, a
// newer one is refused with a clear message (forms.ts). Times are milliseconds since 1970 (for
// people, not decisions).
import { z } from 'zod';
import { isName, isSha256 } from '../common/names.ts';
import { DATATYPES } from '../common/tensor.ts';
import { COLUMN_TYPES } from '../stores/datasets/datasets.ts';

export const CATALOG_SCHEMA = 1;

/**
 * Fields that it does not name stay where they are: a newer program added them, and its documents
 * must outlive a change made by this one.
 */
function object<Shape extends z.core.$ZodLooseShape>(shape: Shape): z.ZodObject<Shape> {
  return z.object(shape).loose() as unknown as z.ZodObject<Shape>;
}

const name = z.string().refine(isName, 'is no allowed name');
const sha256 = z.string().refine(isSha256, 'must be 64 lower-case hexadecimal digits');
const version = z.number().int().min(1);
const timeMs = z.number();
const schema = z.literal(CATALOG_SCHEMA);

/** Key: the model's name. */
export const modelDoc = object({
  schema,
  name,
  description: z.string(),
  /** The version that calls without one get; 0 while none is promoted. */
  servingVersion: z.number().int().min(0),
  /** Versions that are to be loaded: the serving one and those reachable by number. */
  loadedVersions: z.array(version),
  /** The number that the next version gets: numbers are never used again. */
  nextVersion: version,
  policy: object({
    minCopies: z.number().int().min(0),
    maxCopies: z.number().int().min(1),
    isIdempotent: z.boolean(),
    allowsHedging: z.boolean(),
    spreadsZones: z.boolean(),
  }),
  createdMs: timeMs,
  updatedMs: timeMs,
});
export type ModelDoc = z.infer<typeof modelDoc>;

export const DEFAULT_POLICY: ModelDoc['policy'] = {
  minCopies: 1,
  maxCopies: 1,
  isIdempotent: true,
  allowsHedging: false,
  spreadsZones: false,
};

const tensorSpec = object({
  name: z.string(),
  datatype: z.enum(DATATYPES),
  shape: z.array(z.number().int()),
});

/** Key: `model/version`, the number padded to 16 digits so that keys sort as numbers do. */
export const versionDoc = object({
  schema,
  model: name,
  version,
  state: z.enum(['READY', 'FAILED', 'QUARANTINED']),
  reason: z.string(),
  manifestSha256: sha256,
  platform: z.string(),
  inputs: z.array(tensorSpec),
  outputs: z.array(tensorSpec),
  sizeBytes: z.number().int().min(0),
  metrics: z.record(z.string(), z.number()),
  labels: z.record(z.string(), z.string()),
  /** Name of the job that made it, or 'upload', or 'repository'. */
  source: z.string(),
  createdMs: timeMs,
});
export type VersionDoc = z.infer<typeof versionDoc>;

export const columnDoc = object({
  name: z.string().min(1),
  type: z.enum(COLUMN_TYPES),
  isNullable: z.boolean(),
});

/** Key: the data set's name. */
export const datasetDoc = object({
  schema,
  name,
  description: z.string(),
  /** Empty until the first import inferred it, when none was declared. */
  columns: z.array(columnDoc),
  /** Version whose import inferred the columns; 0: they were declared. */
  inferredBy: z.number().int().min(0).default(0),
  /** What training predicts unless told otherwise; '' when nothing was said. */
  targetColumn: z.string(),
  nextVersion: version,
  /** The one that imports add rows to; 0: the next import opens one. */
  openVersion: z.number().int().min(0),
  /** Newest sealed version, 0 while there is none. */
  sealedVersion: z.number().int().min(0),
  createdMs: timeMs,
  updatedMs: timeMs,
});
export type DatasetDoc = z.infer<typeof datasetDoc>;

/** Key: `dataset/version`, padded like a model version's. Counts are the row store's, copied. */
export const datasetVersionDoc = object({
  schema,
  dataset: name,
  version,
  state: z.enum(['OPEN', 'SEALED', 'FAILED']),
  columns: z.array(columnDoc),
  accepted: z.number().int().min(0),
  rejected: z.number().int().min(0),
  source: z.string(),
  createdMs: timeMs,
});
export type DatasetVersionDoc = z.infer<typeof datasetVersionDoc>;

export const ALGORITHMS = ['linear', 'mlp', 'cnn'] as const;
export const TASKS = ['classification', 'regression'] as const;
export const DATA_FORMATS = ['csv', 'json', 'jsonl', 'parquet'] as const;

/** What a training job may ask for; past it: INVALID_ARGUMENT. */
export const MAX_EPOCHS = 100_000;
export const MAX_TRAINING_BATCH_ROWS = 65_536;
export const MAX_HIDDEN_LAYERS = 16;
export const MAX_LAYER_UNITS = 65_536;
/** Of images for a convolutional network, which halves their sides twice. */
export const MIN_IMAGE_SIDE = 4;
export const MIN_HELD_OUT_RATIO = 0.01;
export const MAX_HELD_OUT_RATIO = 0.9;

export const trainSpec = object({
  kind: z.literal('train'),
  dataset: name,
  /** 0: the newest sealed one when the job starts. */
  datasetVersion: z.number().int().min(0),
  target: z.string().min(1),
  /** Empty: every column but the target. */
  features: z.array(z.string()),
  algorithm: z.enum(ALGORITHMS),
  /** Absent: classification for STRING, BOOL and INT64 targets with few values, else regression. */
  task: z.enum(TASKS).optional(),
  /** The model to publish a version of. */
  model: name,
  epochs: z.number().int().min(1).max(MAX_EPOCHS),
  batchSize: z.number().int().min(1).max(MAX_TRAINING_BATCH_ROWS),
  learningRate: z.number().positive(),
  hiddenUnits: z.array(z.number().int().min(1).max(MAX_LAYER_UNITS)).max(MAX_HIDDEN_LAYERS),
  /** Share of rows kept from training, to evaluate on. */
  heldOutRatio: z.number().min(MIN_HELD_OUT_RATIO).max(MAX_HELD_OUT_RATIO),
  seed: z.number().int(),
  /** Height, width, channels of an image in the feature columns, row major; for cnn. */
  imageShape: z.array(z.number().int().min(1)).length(3).optional(),
  /** Serve the version once it is published. */
  promotes: z.boolean(),
});
export type TrainSpec = z.infer<typeof trainSpec>;

/** Rows refused before an import fails, as a share of those read, when the import says nothing. */
export const DEFAULT_MAX_BAD_ROW_RATIO = 0.01;

export const importDatasetSpec = object({
  kind: z.literal('import_dataset'),
  dataset: name,
  blobSha256: sha256,
  fileName: z.string(),
  format: z.enum(DATA_FORMATS).optional(),
  maxBadRowRatio: z.number().min(0).max(1),
  seals: z.boolean(),
});
export type ImportDatasetSpec = z.infer<typeof importDatasetSpec>;

export const MODEL_FORMATS = [
  'onnx',
  'saved_model',
  'keras',
  'torch_script',
  'torch_export',
  'scikit_learn',
  'xgboost',
  'tensorflow_js',
] as const;

export const importModelSpec = object({
  kind: z.literal('import_model'),
  model: name,
  /** The uploaded files with their paths inside the version's folder; config.pbtxt may be one. */
  files: z.array(object({ path: z.string(), sha256, sizeBytes: z.number().int().min(0) })).min(1),
  /** 0: the next free number. */
  version: z.number().int().min(0),
  /** Absent: recognised from the content. */
  format: z.enum(MODEL_FORMATS).optional(),
  labels: z.record(z.string(), z.string()),
  source: z.string(),
  promotes: z.boolean(),
});
export type ImportModelSpec = z.infer<typeof importModelSpec>;

export const JOB_STATES = ['QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** Key: the job's id, which starts with its time so that keys sort by age. */
export const jobDoc = object({
  schema,
  id: name,
  spec: z.discriminatedUnion('kind', [trainSpec, importDatasetSpec, importModelSpec]),
  state: z.enum(JOB_STATES),
  /** Asked for; the owner stops at its next step and writes CANCELLED. */
  isCancelRequested: z.boolean(),
  /** Who works on it, '' for nobody. */
  owner: z.string(),
  /** Grows with each new owner; a write that carries an older one is refused. */
  epoch: z.number().int().min(0),
  /** How often it was taken; past MAX_JOB_ATTEMPTS it fails. */
  attempts: z.number().int().min(0),
  progress: object({
    fraction: z.number().min(0).max(1),
    step: z.string(),
    metrics: z.record(z.string(), z.number()),
  }),
  /** The number that its model version gets, fixed before it is published: a retry reuses it. */
  reservedVersion: version.optional(),
  error: object({ code: z.number().int(), message: z.string() }).optional(),
  result: object({
    /** 'models/digits/versions/1' or 'datasets/digits/versions/1'. */
    name: z.string(),
    metrics: z.record(z.string(), z.number()),
  }).optional(),
  createdMs: timeMs,
  updatedMs: timeMs,
  startedMs: timeMs.optional(),
  endedMs: timeMs.optional(),
});
export type JobDoc = z.infer<typeof jobDoc>;
export type JobSpec = JobDoc['spec'];

/** A job whose worker was lost this often without a result is failed with the reason. */
export const MAX_JOB_ATTEMPTS = 3;

/** Key: 'leader'. Its epoch fences control processes: raised by compare-and-set before leading. */
export const clusterDoc = object({
  schema,
  epoch: z.number().int().min(0),
  owner: z.string(),
});
export type ClusterDoc = z.infer<typeof clusterDoc>;

/** Key: 'ranks'. What was called much when it was written; for the order of loads after a loss. */
export const trafficDoc = object({
  schema,
  /** Of the leader that wrote it. */
  epoch: z.number().int().min(0),
  /** As AssignmentEntry.trafficRank, by model; those that are not named have 0. */
  ranks: z.record(z.string(), z.number().int().min(0)),
});
export type TrafficDoc = z.infer<typeof trafficDoc>;
