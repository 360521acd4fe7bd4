// Fills in what a model's configuration leaves out, from the model's own signature, as Triton does,
// and checks what it states against that. What we can't do is refused, never quietly ignored.
import { invalidArgument } from '../../common/status.ts';
import {
  ModelConfig,
  ModelDynamicBatching,
  ModelInstanceGroup,
  ModelInstanceGroup_Kind,
  ModelOptimizationPolicy,
} from '../../proto/gen/inference/model_config.ts';
import { isInnerPath } from '../manifest.ts';
import type { ModelSignature } from '../signature.ts';
import { batchingOf } from './batching.ts';
import { completeInputs, completeOutputs } from './derive-tensors.ts';
import { checkSupported } from './supported.ts';

/**
 * max_batch_size of a model that can batch and says nothing. Triton's default is 4; small models
 * gain up to about 64 rows a run, and with a queue delay of 0 nothing waits for more rows.
 */
export const DEFAULT_MAX_BATCH_SIZE = 64;
/** More in all instance groups: INVALID_ARGUMENT. Each instance holds a thread and the weights. */
export const MAX_INSTANCES = 64;
export const PLATFORM = 'onnxruntime_onnx';
export const BACKEND = 'onnxruntime';
export const DEFAULT_MODEL_FILENAME = 'model.onnx';

/**
 * The whole configuration under which the model `name` is served.
 * @param stated what config.pbtxt says; undefined: there is none. It is not changed.
 * @throws INVALID_ARGUMENT where the two contradict each other, told with both sides; UNIMPLEMENTED
 * for features that Torus does not have.
 */
export function completeConfig(
  stated: ModelConfig | undefined,
  signature: ModelSignature,
  name: string,
): ModelConfig {
  const config = ModelConfig.fromPartial(stated ?? {});
  checkSupported(config);
  if (config.name !== '' && config.name !== name) {
    throw invalidArgument(
      `config.pbtxt names the model '${config.name}', but it is '${name}': leave the name ` +
        'out, or let both be the same',
    );
  }
  config.name = name;
  config.platform = PLATFORM;
  config.backend = BACKEND;
  config.maxBatchSize = maxBatchSizeOf(config, signature);
  const isBatched = config.maxBatchSize > 0;
  config.input = completeInputs(config.input, signature.inputs, isBatched);
  config.output = completeOutputs(config.output, signature.outputs, isBatched);
  config.instanceGroup = instanceGroupsOf(config);
  config.defaultModelFilename ||= DEFAULT_MODEL_FILENAME;
  if (!isInnerPath(config.defaultModelFilename)) {
    throw invalidArgument(
      `default_model_filename ${JSON.stringify(config.defaultModelFilename)} must be a plain ` +
        "path inside the version's folder",
    );
  }
  config.versionPolicy ??= { policyChoice: { $case: 'latest', latest: { numVersions: 1 } } };
  if (config.maxBatchSize > 1) {
    config.schedulingChoice ??= {
      $case: 'dynamicBatching',
      dynamicBatching: ModelDynamicBatching.fromPartial({}),
    };
  }
  checkPreferredSizes(config);
  config.optimization ??= ModelOptimizationPolicy.fromPartial({});
  config.optimization.inputPinnedMemory ??= { enable: true };
  config.optimization.outputPinnedMemory ??= { enable: true };
  // What a server would refuse at the load is refused here, where its owner still looks on.
  batchingOf(config);
  return config;
}

/** Batching needs the first dimension of every input and output to be open. Undefined: it is. */
function unbatchable(signature: ModelSignature): string | undefined {
  if (signature.inputs.length === 0) return 'it has no inputs';
  const sides = [
    ['input', signature.inputs],
    ['output', signature.outputs],
  ] as const;
  for (const [side, specs] of sides) {
    const fixed = specs.find((spec) => spec.shape[0] !== -1);
    if (fixed !== undefined) {
      const shape = `[${fixed.shape.join(',')}]`;
      return `its ${side} '${fixed.name}' is ${shape}, whose first dimension is not open`;
    }
  }
  return undefined;
}

function maxBatchSizeOf(config: ModelConfig, signature: ModelSignature): number {
  const stated = config.maxBatchSize;
  const obstacle = unbatchable(signature);
  if (stated < 0) throw invalidArgument(`max_batch_size must be 0 or more, not ${stated}`);
  if (stated > 0) {
    if (obstacle === undefined) return stated;
    throw invalidArgument(
      `config.pbtxt says max_batch_size ${stated}, but model '${config.name}' can't batch: ` +
        `${obstacle}; export it with an open batch dimension, or say max_batch_size: 0`,
    );
  }
  // Who states both inputs and outputs has stated everything: then 0 is meant, as in Triton.
  const isStated = config.input.length > 0 && config.output.length > 0;
  if (obstacle !== undefined || isStated) return 0;
  const own = new Map([...signature.inputs, ...signature.outputs].map((spec) => [spec.name, spec]));
  const hasWholeDims = [...config.input, ...config.output].some(({ name, dims, reshape }) => {
    const rank = (reshape?.shape ?? dims).length;
    return rank > 0 && rank === own.get(name)?.shape.length;
  });
  return hasWholeDims ? 0 : DEFAULT_MAX_BATCH_SIZE;
}

/** Named as Triton names them. */
function instanceGroupsOf(config: ModelConfig): ModelInstanceGroup[] {
  const kind = ModelInstanceGroup_Kind.KIND_CPU;
  if (config.instanceGroup.length === 0) {
    return [ModelInstanceGroup.fromPartial({ name: config.name, count: 1, kind })];
  }
  let total = 0;
  const groups = config.instanceGroup.map((group, index) => {
    const name = group.name === '' ? `${config.name}_${index}` : group.name;
    if (group.count < 0) throw invalidArgument(`instance_group '${name}' counts ${group.count}`);
    const count = group.count === 0 ? 1 : group.count;
    total += count;
    return { ...group, name, count, kind };
  });
  if (total <= MAX_INSTANCES) return groups;
  throw invalidArgument(`instance_group asks for ${total} instances, at most ${MAX_INSTANCES}`);
}

function checkPreferredSizes(config: ModelConfig): void {
  if (config.schedulingChoice?.$case !== 'dynamicBatching') return;
  const { preferredBatchSize } = config.schedulingChoice.dynamicBatching;
  const wrong = preferredBatchSize.find((size) => size < 1 || size > config.maxBatchSize);
  if (wrong === undefined) return;
  throw invalidArgument(
    `preferred_batch_size ${wrong} must be 1 to max_batch_size, which is ${config.maxBatchSize}`,
  );
}
