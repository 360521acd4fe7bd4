// What an import job is asked for, read from the admin API's messages and checked.
import { DEFAULT_MAX_BAD_ROW_RATIO, type JobSpec } from '../../catalog/documents.ts';
import { checkName } from '../../common/names.ts';
import { invalidArgument } from '../../common/status.ts';
import { isInnerPath, MAX_MANIFEST_FILES } from '../../model/manifest.ts';
import type { ImportDataSetRequest } from '../../proto/gen/torus/v1/data_set_service.ts';
import type { ModelFile } from '../../proto/gen/torus/v1/job.ts';
import type { ImportModelVersionRequest } from '../../proto/gen/torus/v1/model_service.ts';
import { fromEnum, labelsOf, numberOf, sha256Of } from './fields.ts';
import { datasetOf, modelOf } from './resource-names.ts';

const MAX_FILE_NAME_CHARACTERS = 255;

export function importDatasetSpecOf(
  message: ImportDataSetRequest,
): Extract<JobSpec, { kind: 'import_dataset' }> {
  const format = fromEnum(
    'format',
    {
      DATA_SET_FORMAT_UNSPECIFIED: 'any',
      DATA_SET_FORMAT_CSV: 'csv',
      DATA_SET_FORMAT_JSON: 'json',
      DATA_SET_FORMAT_JSONL: 'jsonl',
      DATA_SET_FORMAT_PARQUET: 'parquet',
    } as const,
    message.format,
  );
  const ratio = message.maxBadRowRatio ?? DEFAULT_MAX_BAD_ROW_RATIO;
  if (!(ratio >= 0 && ratio <= 1)) {
    throw invalidArgument(`max_bad_row_ratio ${ratio} must be 0 to 1`);
  }
  return {
    kind: 'import_dataset',
    dataset: datasetOf(message.name),
    blobSha256: sha256Of('blob_sha256', message.blobSha256),
    fileName: message.fileName.slice(0, MAX_FILE_NAME_CHARACTERS),
    ...(format === 'any' ? {} : { format }),
    maxBadRowRatio: ratio,
    seals: message.seal,
  };
}

export function importModelSpecOf(
  message: ImportModelVersionRequest,
): Extract<JobSpec, { kind: 'import_model' }> {
  const format = fromEnum(
    'format',
    {
      MODEL_FORMAT_UNSPECIFIED: 'any',
      MODEL_FORMAT_ONNX: 'onnx',
      MODEL_FORMAT_SAVED_MODEL: 'saved_model',
      MODEL_FORMAT_KERAS: 'keras',
      MODEL_FORMAT_TORCH_SCRIPT: 'torch_script',
      MODEL_FORMAT_TORCH_EXPORT: 'torch_export',
      MODEL_FORMAT_SCIKIT_LEARN: 'scikit_learn',
      MODEL_FORMAT_XGBOOST: 'xgboost',
      MODEL_FORMAT_TENSORFLOW_JS: 'tensorflow_js',
    } as const,
    message.format,
  );
  const model = message.parent.startsWith('models/')
    ? checkName('model', message.parent.slice('models/'.length))
    : modelOf(message.parent, 'parent');
  return {
    kind: 'import_model',
    model,
    files: filesOf(message.files),
    version: numberOf('version', message.version, 0),
    ...(format === 'any' ? {} : { format }),
    labels: labelsOf(message.labels),
    source: 'upload',
    promotes: message.promote,
  };
}

function filesOf(files: readonly ModelFile[]) {
  if (files.length === 0) throw invalidArgument('files must hold one file at least');
  if (files.length > MAX_MANIFEST_FILES) {
    throw invalidArgument(`${files.length} files were given, the most are ${MAX_MANIFEST_FILES}`);
  }
  const paths = new Set<string>();
  return files.map(({ path, sha256, sizeBytes }) => {
    const shown = JSON.stringify(path.slice(0, 200));
    if (!isInnerPath(path)) {
      throw invalidArgument(`path ${shown} must be a plain relative path inside the folder`);
    }
    if (paths.has(path)) throw invalidArgument(`path ${shown} is there twice`);
    paths.add(path);
    return {
      path,
      sha256: sha256Of(`sha256 of ${path}`, sha256),
      sizeBytes: numberOf(`size_bytes of ${path}`, sizeBytes, 0),
    };
  });
}
