// Metrics of a process with several threads: each thread keeps its own prom-client registry, and
// the one that answers /metrics joins them. The number of label sets is bounded, so that a flood
// of model names can't grow the process: past the limit a value is counted under '_other'.
import {
  AggregatorRegistry,
  collectDefaultMetrics,
  type MetricObject,
  Registry,
} from 'prom-client';

/** Label sets of one metric; the rest are counted together under OTHER. */
export const MAX_LABEL_SETS = 10_000;
export const OTHER = '_other';

export type Metrics = Registry;

/** What one thread sends to the one that answers /metrics. */
export type MetricsSnapshot = readonly MetricObject[];

export function createMetrics(): Metrics {
  return new Registry();
}

/** Memory, CPU, descriptors, garbage collection and event loop lag of the process (main thread). */
export function collectProcessMetrics(metrics: Metrics): void {
  collectDefaultMetrics({ register: metrics });
}

export async function snapshot(metrics: Metrics): Promise<MetricsSnapshot> {
  return (await metrics.getMetricsAsJSON()) as unknown as MetricsSnapshot;
}

/**
 * Joins the threads' metrics: counters and histograms add up, gauges as each says (default sum).
 */
export async function renderMetrics(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  const parts = snapshots.filter((part) => part.length > 0).map((part) => [...part]);
  return await AggregatorRegistry.aggregate(parts).metrics();
}

/** Says whether a label set may be used: the first `limit` ones and those seen before. */
export class LabelLimit {
  readonly #seen = new Set<string>();
  readonly #limit: number;

  constructor(limit: number = MAX_LABEL_SETS) {
    this.#limit = limit;
  }

  /** True: count under these labels. False: count under OTHER. */
  admits(...labels: readonly string[]): boolean {
    const key = labels.join('\u0000');
    if (this.#seen.has(key)) return true;
    if (this.#seen.size >= this.#limit) return false;
    this.#seen.add(key);
    return true;
  }

  /** The labels themselves, or OTHER in the place of each. */
  fit(labels: readonly string[]): readonly string[] {
    return this.admits(...labels) ? labels : labels.map(() => OTHER);
  }
}
