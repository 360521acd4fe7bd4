// What Triton's configuration can ask for and Torus does not do (yet): refused by name, because a
// model that is served otherwise than its configuration says gives wrong answers quietly. What only
// tunes speed is let through (optimization, rate limiter, host policy, warm-up, caching, metrics),
// and preserve_ordering: each call has its own answer, which says whose it is.
import { Code, StatusError } from '../../common/status.ts';
import {
  type ModelConfig,
  ModelInstanceGroup_Kind,
  type ModelQueuePolicy,
  ModelQueuePolicy_TimeoutAction,
} from '../../proto/gen/inference/model_config.ts';

/** @throws UNIMPLEMENTED naming the feature and what to do. */
export function checkSupported(config: ModelConfig): void {
  const reason =
    backendReason(config) ??
    schedulingReason(config) ??
    featureReason(config) ??
    tensorReason(config) ??
    instanceReason(config);
  if (reason === undefined) return;
  throw new StatusError(Code.UNIMPLEMENTED, `config.pbtxt asks for ${reason}`);
}

function backendReason({ backend, platform }: ModelConfig): string | undefined {
  const isOurs =
    (backend === '' || backend === 'onnxruntime') &&
    (platform === '' || platform === 'onnxruntime_onnx');
  if (isOurs) return undefined;
  const asked = backend === '' ? `platform '${platform}'` : `backend '${backend}'`;
  return `${asked}, only ONNX models are served (backend 'onnxruntime'): export the model to ONNX`;
}

function schedulingReason({ schedulingChoice }: ModelConfig): string | undefined {
  switch (schedulingChoice?.$case) {
    case undefined:
      return undefined;
    case 'sequenceBatching':
      return 'sequence_batching, which is not supported: give the state as inputs and outputs';
    case 'ensembleScheduling':
      return 'ensemble_scheduling, which is not supported: call the models one after the other';
    case 'dynamicBatching': {
      const { priorityLevels, priorityQueuePolicy, defaultQueuePolicy } =
        schedulingChoice.dynamicBatching;
      if (priorityLevels > 1n || priorityQueuePolicy.size > 0) {
        return 'priority_levels, which are not supported: leave them out';
      }
      return queueReason(defaultQueuePolicy);
    }
  }
}

function queueReason(policy: ModelQueuePolicy | undefined): string | undefined {
  if (policy === undefined) return undefined;
  if (policy.timeoutAction === ModelQueuePolicy_TimeoutAction.REJECT) return undefined;
  return 'timeout_action DELAY, which is not supported: only REJECT is';
}

function featureReason(config: ModelConfig): string | undefined {
  const features: [boolean, string][] = [
    [config.modelTransactionPolicy?.decoupled === true, 'model_transaction_policy.decoupled'],
    [config.batchInput.length > 0, 'batch_input'],
    [config.batchOutput.length > 0, 'batch_output'],
    [config.ccModelFilenames.size > 0, 'cc_model_filenames'],
    [(config.modelOperations?.opLibraryFilename.length ?? 0) > 0, 'model_operations'],
    [(config.modelRepositoryAgents?.agents.length ?? 0) > 0, 'model_repository_agents'],
    [config.runtime !== '', 'runtime'],
  ];
  const asked = features.find(([isAsked]) => isAsked);
  return asked === undefined ? undefined : `${asked[1]}, which is not supported`;
}

function tensorReason({ input, output }: ModelConfig): string | undefined {
  for (const { name, isShapeTensor, isNonLinearFormatIo } of [...input, ...output]) {
    if (isShapeTensor) return `is_shape_tensor of '${name}', which is not supported`;
    if (isNonLinearFormatIo) return `is_non_linear_format_io of '${name}', which is not supported`;
  }
  for (const { name, allowRaggedBatch, optional } of input) {
    if (allowRaggedBatch) return `allow_ragged_batch of '${name}', which is not supported`;
    if (optional) return `optional input '${name}', which is not supported: ONNX needs all inputs`;
  }
  return undefined;
}

function instanceReason({ instanceGroup }: ModelConfig): string | undefined {
  const { KIND_AUTO, KIND_CPU } = ModelInstanceGroup_Kind;
  for (const { kind, gpus, passive } of instanceGroup) {
    if ((kind !== KIND_AUTO && kind !== KIND_CPU) || gpus.length > 0) {
      return 'instances on a GPU or placed by the model, only kind: KIND_CPU is served';
    }
    if (passive) return 'passive instances, which are not supported';
  }
  return undefined;
}
