// ModelStatistics of a cluster: what its nodes say, summed for each model version.
import type {
  InferBatchStatistics,
  InferResponseStatistics,
  InferStatistics,
  ModelStatistics,
  StatisticDuration,
} from '../gen/inference/grpc_service.ts';

type Maybe<T> = T | undefined;

function addDuration(
  a: Maybe<StatisticDuration>,
  b: Maybe<StatisticDuration>,
): Maybe<StatisticDuration> {
  if (a === undefined || b === undefined) return a ?? b;
  return { count: a.count + b.count, ns: a.ns + b.ns };
}

function addInfer(a: Maybe<InferStatistics>, b: Maybe<InferStatistics>): Maybe<InferStatistics> {
  if (a === undefined || b === undefined) return a ?? b;
  return {
    success: addDuration(a.success, b.success),
    fail: addDuration(a.fail, b.fail),
    queue: addDuration(a.queue, b.queue),
    computeInput: addDuration(a.computeInput, b.computeInput),
    computeInfer: addDuration(a.computeInfer, b.computeInfer),
    computeOutput: addDuration(a.computeOutput, b.computeOutput),
    cacheHit: addDuration(a.cacheHit, b.cacheHit),
    cacheMiss: addDuration(a.cacheMiss, b.cacheMiss),
  };
}

function addBatches(
  a: readonly InferBatchStatistics[],
  b: readonly InferBatchStatistics[],
): InferBatchStatistics[] {
  const bySize = new Map(a.map((one) => [one.batchSize, one]));
  for (const one of b) {
    const held = bySize.get(one.batchSize);
    bySize.set(one.batchSize, {
      batchSize: one.batchSize,
      computeInput: addDuration(held?.computeInput, one.computeInput),
      computeInfer: addDuration(held?.computeInfer, one.computeInfer),
      computeOutput: addDuration(held?.computeOutput, one.computeOutput),
    });
  }
  return [...bySize.values()].sort((x, y) => (x.batchSize < y.batchSize ? -1 : 1));
}

function addResponses(
  a: ReadonlyMap<string, InferResponseStatistics>,
  b: ReadonlyMap<string, InferResponseStatistics>,
): Map<string, InferResponseStatistics> {
  const sum = new Map(a);
  for (const [key, one] of b) {
    const held = sum.get(key);
    sum.set(key, {
      computeInfer: addDuration(held?.computeInfer, one.computeInfer),
      computeOutput: addDuration(held?.computeOutput, one.computeOutput),
      success: addDuration(held?.success, one.success),
      fail: addDuration(held?.fail, one.fail),
      emptyResponse: addDuration(held?.emptyResponse, one.emptyResponse),
      cancel: addDuration(held?.cancel, one.cancel),
    });
  }
  return sum;
}

function later(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}

function add(a: ModelStatistics, b: ModelStatistics): ModelStatistics {
  return {
    name: a.name,
    version: a.version,
    lastInference: later(a.lastInference, b.lastInference),
    inferenceCount: a.inferenceCount + b.inferenceCount,
    executionCount: a.executionCount + b.executionCount,
    inferenceStats: addInfer(a.inferenceStats, b.inferenceStats),
    batchStats: addBatches(a.batchStats, b.batchStats),
    memoryUsage: [...a.memoryUsage, ...b.memoryUsage],
    responseStats: addResponses(a.responseStats, b.responseStats),
  };
}

/** Sums the copies of each model version; ordered by model, then version. */
export function sumStatistics(all: readonly ModelStatistics[]): ModelStatistics[] {
  const sums = new Map<string, ModelStatistics>();
  for (const one of all) {
    const key = `${one.name}\u0000${one.version}`;
    const held = sums.get(key);
    sums.set(key, held === undefined ? one : add(held, one));
  }
  return [...sums.values()].sort(
    (a, b) =>
      (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) || Number(a.version) - Number(b.version),
  );
}
