// What a server needs of a complete configuration to run a model, in plain numbers.
import { invalidArgument } from '../../common/status.ts';
import type { ModelConfig } from '../../proto/gen/inference/model_config.ts';
import { type Execution, policyOf } from './policy.ts';

/** How long a request may wait in the queue, apart from its deadline. */
export interface QueueTimeout {
  /** 0: no limit. */
  readonly defaultUs: number;
  /** Whether a request's `timeout` parameter may shorten it. */
  readonly allowsOverride: boolean;
}

export interface BatchingSettings {
  /** 0: no batch dimension, one request a run. */
  readonly maxBatchSize: number;
  /** Ascending. Empty: only full batches close early. */
  readonly preferredBatchSizes: readonly number[];
  /** How long the oldest request may wait for company while an instance is free. */
  readonly maxQueueDelayUs: number;
  /** Undefined: the server's default. */
  readonly maxQueueSize: number | undefined;
  readonly queueTimeout: QueueTimeout;
  readonly instanceCount: number;
  /** Undefined: the server's default. */
  readonly intraOpThreads: number | undefined;
  /** Undefined: the server's default. */
  readonly maxRunMs: number | undefined;
  /** Undefined: the server's default. */
  readonly maxLoadMs: number | undefined;
  /** Undefined: the server's default. */
  readonly execution: Execution | undefined;
}

/** More threads in one run: INVALID_ARGUMENT. */
const MAX_INTRA_OP_THREADS = 256;

/**
 * @param config a complete one (completeConfig).
 * @throws INVALID_ARGUMENT for values past what can be counted with.
 */
export function batchingOf(config: ModelConfig): BatchingSettings {
  const dynamic =
    config.schedulingChoice?.$case === 'dynamicBatching'
      ? config.schedulingChoice.dynamicBatching
      : undefined;
  const queue = dynamic?.defaultQueuePolicy;
  const maxQueueSize = queue?.maxQueueSize ?? 0;
  const { maxRunMs, maxLoadMs, execution } = policyOf(config);
  return {
    maxBatchSize: config.maxBatchSize,
    preferredBatchSizes: [...new Set(dynamic?.preferredBatchSize)].sort((a, b) => a - b),
    maxQueueDelayUs: exact(
      'max_queue_delay_microseconds',
      dynamic?.maxQueueDelayMicroseconds ?? 0n,
    ),
    maxQueueSize: maxQueueSize === 0 ? undefined : maxQueueSize,
    queueTimeout: {
      defaultUs: exact('default_timeout_microseconds', queue?.defaultTimeoutMicroseconds ?? 0n),
      allowsOverride: queue?.allowTimeoutOverride ?? false,
    },
    instanceCount: config.instanceGroup.reduce((sum, group) => sum + group.count, 0),
    intraOpThreads: intraOpThreadsOf(config),
    maxRunMs,
    maxLoadMs,
    execution,
  };
}

function exact(name: string, value: bigint): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw invalidArgument(`${name} must be at most ${Number.MAX_SAFE_INTEGER}, not ${value}`);
}

/** The parameter that Triton's ONNX Runtime backend reads; 0 there means the backend's default. */
function intraOpThreadsOf(config: ModelConfig): number | undefined {
  const text = config.parameters.get('intra_op_thread_count')?.stringValue.trim();
  if (text === undefined || text === '0') return undefined;
  const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= MAX_INTRA_OP_THREADS) return value;
  throw invalidArgument(
    `parameter 'intra_op_thread_count' must be 0 to ${MAX_INTRA_OP_THREADS}, not ` +
      JSON.stringify(text.slice(0, 64)),
  );
}
