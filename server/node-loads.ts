// The load of a node's models, out of what all its threads count.
import type { ModelStatistics } from '../proto/gen/inference/grpc_service.ts';
import type { ModelLoad } from '../registry/registry.ts';
import { LoadMeter, type VersionCounts } from './load-meter.ts';
import type { BatchTally, StatisticsBook, VersionStatistics } from './statistics.ts';

export interface NodeLoadsOptions {
  readonly book: StatisticsBook;
  /** Of threads that serve beside this one; undefined: there are none. */
  readonly others: (() => Promise<readonly ModelStatistics[]>) | undefined;
  readonly nowMs: () => number;
}

/** Asked again, it tells what came since the last time. @throws UNAVAILABLE */
export function nodeLoads(options: NodeLoadsOptions): () => Promise<readonly ModelLoad[]> {
  const meter = new LoadMeter();
  return async () => {
    const others = (await options.others?.()) ?? [];
    const counts = new Map<string, VersionCounts>();
    for (const one of options.book.all()) add(counts, countsHere(one));
    for (const one of others) add(counts, countsThere(one));
    return meter.take(counts.values(), options.nowMs());
  };
}

/** Past the book's limit versions share one that has no number: its load is nobody's. */
function add(all: Map<string, VersionCounts>, one: VersionCounts): void {
  if (!Number.isSafeInteger(one.version) || one.version < 1) return;
  const key = `${one.model}/${one.version}`;
  const sum = all.get(key);
  all.set(key, {
    ...one,
    arrived: one.arrived + (sum?.arrived ?? 0),
    computed: one.computed + (sum?.computed ?? 0),
    busyNs: one.busyNs + (sum?.busyNs ?? 0),
    queued: one.queued + (sum?.queued ?? 0),
  });
}

function countsHere(one: VersionStatistics): VersionCounts {
  const { model, version, success, fail } = one;
  let busyNs = 0;
  for (const batch of one.batches.values()) busyNs += busyOf(batch);
  return {
    model,
    version: Number(version),
    arrived: success.count + fail.count,
    computed: success.count,
    busyNs,
    queued: one.pending(),
  };
}

function busyOf({ computeInput, computeInfer, computeOutput }: BatchTally): number {
  return computeInput.ns + computeInfer.ns + computeOutput.ns;
}

function countsThere({
  name,
  version,
  inferenceStats,
  batchStats,
}: ModelStatistics): VersionCounts {
  const computed = Number(inferenceStats?.success?.count ?? 0n);
  let busyNs = 0;
  for (const { computeInput, computeInfer, computeOutput } of batchStats) {
    for (const one of [computeInput, computeInfer, computeOutput]) busyNs += Number(one?.ns ?? 0n);
  }
  return {
    ...{ model: name, version: Number(version), computed, busyNs, queued: 0 },
    arrived: computed + Number(inferenceStats?.fail?.count ?? 0n),
  };
}
