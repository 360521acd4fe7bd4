// From a version's files to something that answers calls: its configuration made whole, its files
// looked at before native code gets them, its model loaded.
import { readFile, realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import type { Clock } from '../common/clock.ts';
import { Code, invalidArgument, StatusError } from '../common/status.ts';
import { batchingOf } from '../model/config/batching.ts';
import { completeConfig, DEFAULT_MODEL_FILENAME } from '../model/config/derive.ts';
import { parseConfig } from '../model/config/pbtxt.ts';
import { isInnerPath } from '../model/manifest.ts';
import { hasFixedCost } from '../model/onnx/fixed-cost.ts';
import {
  type ConfiguredTensor,
  configuredSignature,
  type ModelSignature,
  signatureOfOnnx,
} from '../model/signature.ts';
import type { ModelConfig } from '../proto/gen/inference/model_config.ts';
import { diskError, errnoOf } from '../stores/disk-error.ts';
import type { Markers } from './engines/marker.ts';
import type { ServedSignature, ServedTensor } from './infer/signature.ts';
import type { LoadModel, ModelFailure } from './loaded-model.ts';
import type { ServedVersion } from './model-table.ts';
import { readOnnxFile } from './onnx-file.ts';
import type { StatisticsBook } from './statistics.ts';

/** Labels of one output; more, or a larger file, fail the load. */
const MAX_LABEL_BYTES = 16 * 1024 * 1024;

export interface VersionFiles {
  readonly model: string;
  readonly version: number;
  /** Holds the ONNX file and what it needs; nothing outside it is read. */
  readonly folder: string;
  /** '' when the model came without one. */
  readonly configPbtxt: string;
  /** Where labels may lie besides `folder` (Triton keeps them beside config.pbtxt). */
  readonly labelFolder?: string;
  /** By name, the ranks that the import found where the file declares no shape. */
  readonly outputRanks?: ReadonlyMap<string, number>;
  /** The files may go from disk. */
  release(): void;
}

export interface LoadVersionOptions {
  readonly loadModel: LoadModel;
  readonly book: StatisticsBook;
  readonly clock: Clock;
  readonly quarantine: Markers;
  readonly onFailed: (failure: ModelFailure) => void;
}

/** @throws why it can't be served: INVALID_ARGUMENT, UNIMPLEMENTED, or as LoadModel. */
export async function loadVersion(
  files: VersionFiles,
  options: LoadVersionOptions,
): Promise<ServedVersion> {
  const { model, version } = files;
  const stated = files.configPbtxt === '' ? undefined : parseConfig(files.configPbtxt);
  const modelPath = await insidePath(
    files.folder,
    stated?.defaultModelFilename || DEFAULT_MODEL_FILENAME,
  );
  const { signature, hasFixedCost } = await inspect(files, modelPath);
  const config = completeConfig(stated, signature, model);
  const statistics = options.book.of(model, version);
  const served = await servedSignature(files, config, signature);
  const { queueTimeout, ...tuning } = batchingOf(config);
  const loaded = await options.loadModel({
    model,
    version,
    modelPath,
    ...tuning,
    hasFixedCost,
    quarantine: options.quarantine,
    clock: options.clock,
    observer: statistics,
    onFailed: options.onFailed,
  });
  statistics.pending = () => loaded.inFlight;
  const { memoryBytes } = loaded;
  return { signature: served, config, loaded, statistics, queueTimeout, memoryBytes };
}

/** What the file itself says; files that it refers to must be in the folder, and long enough. */
async function inspect(
  { folder, outputRanks }: VersionFiles,
  modelPath: string,
): Promise<{ readonly signature: ModelSignature; readonly hasFixedCost: boolean }> {
  const summary = await readOnnxFile(modelPath);
  for (const { path } of summary.externalFiles) await insidePath(folder, path);
  const signature = signatureOfOnnx(summary, outputRanks);
  return { signature, hasFixedCost: hasFixedCost(summary) };
}

/**
 * The real path of a file that must lie inside `folder`, symbolic links followed.
 * @throws INVALID_ARGUMENT when it lies elsewhere, or nowhere
 */
async function insidePath(folder: string, path: string): Promise<string> {
  const shown = JSON.stringify(path.slice(0, 256));
  if (!isInnerPath(path)) {
    throw invalidArgument(`${shown} is no plain path inside the version's folder`);
  }
  try {
    const [root, target] = await Promise.all([realpath(folder), realpath(join(folder, path))]);
    const way = relative(root, target);
    if (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)) return target;
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw diskError(cause, 'look at a file of a model', folder);
    throw invalidArgument(`file ${shown} is not in the version's folder`);
  }
  throw invalidArgument(`file ${shown} is a link that leads out of the version's folder`);
}

async function servedSignature(
  files: VersionFiles,
  config: ModelConfig,
  own: ModelSignature,
): Promise<ServedSignature> {
  const { maxBatchSize, inputs, outputs } = configuredSignature(config, own);
  if (inputs.length !== own.inputs.length) {
    throw new StatusError(Code.INTERNAL, `config of '${files.model}' lacks an input`);
  }
  const served = async (tensor: ConfiguredTensor): Promise<ServedTensor> => {
    const { index, spec, reshape, labelFilename } = tensor;
    return { index, spec, reshape, labels: await labelsOf(files, labelFilename) };
  };
  // The engine takes and gives tensors in the order of the model's file.
  const inOrder = (tensors: readonly ConfiguredTensor[]): Promise<ServedTensor[]> =>
    Promise.all([...tensors].sort((a, b) => a.index - b.index).map(served));
  return {
    model: files.model,
    version: files.version,
    maxBatchSize,
    inputs: await inOrder(inputs),
    outputs: await inOrder(outputs),
  };
}

async function labelsOf(
  { folder, labelFolder }: VersionFiles,
  filename: string,
): Promise<readonly string[]> {
  if (filename === '') return [];
  const path = await insidePath(folder, filename).catch((error: unknown) => {
    if (labelFolder === undefined) throw error;
    return insidePath(labelFolder, filename);
  });
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw diskError(cause, 'read the labels', path);
  });
  if (bytes.length > MAX_LABEL_BYTES) {
    throw invalidArgument(`label file '${filename}' is larger than ${MAX_LABEL_BYTES} bytes`);
  }
  return bytes
    .toString('utf8')
    .replace(/\r?\n$/, '')
    .split(/\r?\n/);
}
