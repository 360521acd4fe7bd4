// ModelStatistics: a version's statistics as the protocol tells them.
import { shownName } from '../../common/names.ts';
import { invalidArgument } from '../../common/status.ts';
import type {
  ModelStatistics,
  ModelStatisticsResponse,
  StatisticDuration,
} from '../../proto/gen/inference/grpc_service.ts';
import { sumStatistics } from '../../proto/oip/sum-statistics.ts';
import type { ModelTable, ServedVersion } from '../model-table.ts';
import type { Tally, VersionStatistics } from '../statistics.ts';

/**
 * Of one version, of all of a model's ready ones (version ''), or of all models (name '').
 * @throws INVALID_ARGUMENT for what is not ready (Triton's code for it)
 */
export function modelStatistics(
  table: ModelTable,
  name: string,
  version: string,
): ModelStatisticsResponse {
  if (name !== '' && !table.isReady(name, version)) {
    const which = version === '' ? '' : ` version ${version}`;
    throw invalidArgument(`requested model '${shownName(name)}'${which} is not available`);
  }
  const ready = table
    .statuses()
    .filter(({ model }) => name === '' || model === name)
    .filter((status) => version === '' || status.version === Number(version))
    .flatMap(({ served }) => (served === undefined ? [] : [served]));
  return { modelStats: ready.map(statisticsOf) };
}

/** With what other threads counted of the same versions. */
export function withOthers(
  { modelStats }: ModelStatisticsResponse,
  others: readonly ModelStatistics[],
): ModelStatisticsResponse {
  const keyOf = ({ name, version }: ModelStatistics): string => `${name}/${version}`;
  const asked = new Set(modelStats.map(keyOf));
  return {
    modelStats: sumStatistics([...modelStats, ...others.filter((one) => asked.has(keyOf(one)))]),
  };
}

function statisticsOf({ signature, memoryBytes, statistics }: ServedVersion): ModelStatistics {
  return {
    ...countsOf(signature.model, String(signature.version), statistics),
    memoryUsage: [{ type: 'CPU', id: 0n, byteSize: whole(memoryBytes) }],
  };
}

/** Without the memory. */
export function countsOf(
  name: string,
  version: string,
  statistics: VersionStatistics,
): ModelStatistics {
  return {
    name,
    version,
    lastInference: whole(statistics.lastInferenceMs),
    inferenceCount: whole(statistics.inferenceCount),
    executionCount: whole(statistics.executionCount),
    inferenceStats: {
      success: duration(statistics.success),
      fail: duration(statistics.fail),
      queue: duration(statistics.queue),
      computeInput: duration(statistics.computeInput),
      computeInfer: duration(statistics.computeInfer),
      computeOutput: duration(statistics.computeOutput),
      cacheHit: NONE,
      cacheMiss: NONE,
    },
    batchStats: batchStatistics(statistics),
    memoryUsage: [],
    responseStats: new Map(),
  };
}

function batchStatistics({ batches }: VersionStatistics): ModelStatistics['batchStats'] {
  return [...batches]
    .sort(([a], [b]) => a - b)
    .map(([rows, batch]) => ({
      batchSize: BigInt(rows),
      computeInput: duration(batch.computeInput),
      computeInfer: duration(batch.computeInfer),
      computeOutput: duration(batch.computeOutput),
    }));
}

const NONE: StatisticDuration = { count: 0n, ns: 0n };

function duration({ count, ns }: Tally): StatisticDuration {
  return { count: whole(count), ns: whole(ns) };
}

function whole(value: number): bigint {
  return BigInt(Math.max(0, Math.round(value)));
}
