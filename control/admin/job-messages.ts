// Jobs as the admin API shows them. What a job is asked for is read in training-spec.ts
// and import-specs.ts.
import type { Entry } from '../../catalog/catalog.ts';
import type { JobDoc, JobSpec } from '../../catalog/documents.ts';
import {
  Algorithm,
  DataSetFormat,
  type Job,
  JobKind,
  type JobProgress,
  type JobResult,
  JobState,
  ModelFormat,
  TrainingTask,
} from '../../proto/gen/torus/v1/job.ts';
import { dateOf } from './fields.ts';
import { datasetName, datasetVersionName, jobName, modelName } from './resource-names.ts';

export const JOB_KINDS: Record<JobSpec['kind'], JobKind> = {
  train: JobKind.TRAIN,
  import_dataset: JobKind.IMPORT_DATA_SET,
  import_model: JobKind.IMPORT_MODEL,
};

export const JOB_STATES: Record<JobDoc['state'], JobState> = {
  QUEUED: JobState.QUEUED,
  RUNNING: JobState.RUNNING,
  SUCCEEDED: JobState.SUCCEEDED,
  FAILED: JobState.FAILED,
  CANCELLED: JobState.CANCELLED,
};

export const ALGORITHMS = {
  linear: Algorithm.LINEAR,
  mlp: Algorithm.MLP,
  cnn: Algorithm.CNN,
} as const;

export const TASKS = {
  classification: TrainingTask.CLASSIFICATION,
  regression: TrainingTask.REGRESSION,
} as const;

export const DATA_FORMATS = {
  csv: DataSetFormat.CSV,
  json: DataSetFormat.JSON,
  jsonl: DataSetFormat.JSONL,
  parquet: DataSetFormat.PARQUET,
} as const;

export const MODEL_FORMATS = {
  onnx: ModelFormat.ONNX,
  saved_model: ModelFormat.SAVED_MODEL,
  keras: ModelFormat.KERAS,
  torch_script: ModelFormat.TORCH_SCRIPT,
  torch_export: ModelFormat.TORCH_EXPORT,
  scikit_learn: ModelFormat.SCIKIT_LEARN,
  xgboost: ModelFormat.XGBOOST,
  tensorflow_js: ModelFormat.TENSORFLOW_JS,
} as const;

export function jobMessage({ doc }: Pick<Entry<'job'>, 'doc'>): Job {
  return {
    name: jobName(doc.id),
    kind: JOB_KINDS[doc.spec.kind],
    state: JOB_STATES[doc.state],
    spec: specMessage(doc.spec),
    progress: progressMessage(doc),
    error: doc.error,
    result: doc.result === undefined ? undefined : resultMessage(doc.result),
    owner: doc.owner,
    epoch: BigInt(doc.epoch),
    createTime: dateOf(doc.createdMs),
    startTime: doc.startedMs === undefined ? undefined : dateOf(doc.startedMs),
    updateTime: dateOf(doc.updatedMs),
    endTime: doc.endedMs === undefined ? undefined : dateOf(doc.endedMs),
    cancelRequested: doc.isCancelRequested,
  };
}

function specMessage(spec: JobSpec): Job['spec'] {
  switch (spec.kind) {
    case 'train':
      return { $case: 'training', training: trainingMessage(spec) };
    case 'import_dataset':
      return {
        $case: 'dataSetImport',
        dataSetImport: {
          dataSet: datasetName(spec.dataset),
          blobSha256: spec.blobSha256,
          fileName: spec.fileName,
          format: spec.format === undefined ? DataSetFormat.UNSPECIFIED : DATA_FORMATS[spec.format],
          maxBadRowRatio: spec.maxBadRowRatio,
          seal: spec.seals,
        },
      };
    case 'import_model':
      return {
        $case: 'modelImport',
        modelImport: {
          model: modelName(spec.model),
          files: spec.files.map((file) => ({ ...file, sizeBytes: BigInt(file.sizeBytes) })),
          format: spec.format === undefined ? ModelFormat.UNSPECIFIED : MODEL_FORMATS[spec.format],
          labels: spec.labels,
          promote: spec.promotes,
          version: BigInt(spec.version),
        },
      };
  }
}

type TrainingMessage = Extract<Job['spec'], { $case: 'training' }>['training'];

function trainingMessage(spec: Extract<JobSpec, { kind: 'train' }>): TrainingMessage {
  return {
    dataSet:
      spec.datasetVersion === 0
        ? datasetName(spec.dataset)
        : datasetVersionName(spec.dataset, spec.datasetVersion),
    targetColumn: spec.target,
    featureColumns: spec.features,
    algorithm: ALGORITHMS[spec.algorithm],
    task: spec.task === undefined ? TrainingTask.UNSPECIFIED : TASKS[spec.task],
    modelId: spec.model,
    hyperparameters: {
      epochs: spec.epochs,
      batchSize: spec.batchSize,
      learningRate: spec.learningRate,
      hiddenUnits: spec.hiddenUnits,
      imageShape: spec.imageShape ?? [],
    },
    heldOutRatio: spec.heldOutRatio,
    seed: BigInt(spec.seed),
    promote: spec.promotes,
  };
}

/** Numbers that have a field of their own come from the job's metrics of that name. */
function progressMessage({ progress, spec }: JobDoc): JobProgress {
  const { metrics } = progress;
  const rows = (value: number | undefined): bigint | undefined =>
    value === undefined ? undefined : BigInt(Math.trunc(value));
  return {
    fraction: progress.fraction,
    step: progress.step,
    epoch: metrics.epoch === undefined ? undefined : Math.trunc(metrics.epoch),
    epochs: spec.kind === 'train' ? spec.epochs : undefined,
    loss: metrics.loss,
    accuracy: metrics.accuracy,
    acceptedRows: rows(metrics.accepted),
    rejectedRows: rows(metrics.rejected),
    metrics,
  };
}

function resultMessage({ name, metrics }: NonNullable<JobDoc['result']>): JobResult {
  return {
    modelVersion: name.startsWith('models/') ? name : '',
    dataSetVersion: name.startsWith('datasets/') ? name : '',
    metrics,
    maxAbsDifference: metrics.max_abs_difference,
  };
}
