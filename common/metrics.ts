// Metrics of a process with several threads: each thread keeps its own prom-client registry, and
// the one that answers /metrics joins them. The number of label sets is bounded, so that a flood
// of model names can't grow the process: past the limit a value is counted under '_other'.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import {
  AggregatorRegistry,
  collectDefaultMetrics,
  Gauge,
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

/** How often the loop is looked at: a lag shorter than that may go unseen. */
const LAG_RESOLUTION_MS = 10;
const LAG_QUANTILES = [0.5, 0.99, 1] as const;

/**
 * How long work that was due had to wait for the calling thread's event loop, since the page was
 * last asked for. Each thread that serves calls it for itself: the process metrics above see the
 * main thread only.
 */
export function collectLoopLag(metrics: Metrics, thread: string): void {
  const delays = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  delays.enable();
  new Gauge({
    name: 'torus_event_loop_lag_seconds',
    help: "Lag of a thread's event loop since the last look; quantile 1 is the longest",
    labelNames: ['thread', 'quantile'],
    registers: [metrics],
    aggregator: 'max',
    collect() {
      for (const quantile of LAG_QUANTILES) {
        // The monitor counts its own pause too. Without a sample yet it says 0.
        const lagMs = delays.percentile(quantile * 100) / 1e6 - LAG_RESOLUTION_MS;
        this.set({ thread, quantile }, Math.max(0, lagMs) / 1e3);
      }
      delays.reset();
    },
  });
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
