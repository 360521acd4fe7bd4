// What is counted of each model version: Triton's statistics, and histograms that sum over nodes.
// Plain numbers, since they are touched on every call; ModelStatistics and /metrics read them when
// asked. They outlive the loading of their model, so that counters never fall.
import { Buckets } from '../common/histogram.ts';
import { MAX_LABEL_SETS, OTHER } from '../common/metrics.ts';
import type { Way } from './engines/engine.ts';
import type { FailReason, ModelObserver, RunTimings, ShedReason } from './loaded-model.ts';

/** Bounds in seconds, the same everywhere, or sums over nodes would mean nothing. */
const DURATION_BUCKETS_S: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
const BATCH_BUCKETS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** How often, and how long all together. */
export interface Tally {
  count: number;
  ns: number;
}

const tally = (): Tally => ({ count: 0, ns: 0 });

/** `count` events of `ns` each. */
function add(to: Tally, ns: number, count = 1): void {
  to.count += count;
  to.ns += ns * count;
}

export interface BatchTally {
  readonly computeInput: Tally;
  readonly computeInfer: Tally;
  readonly computeOutput: Tally;
}

export class VersionStatistics implements ModelObserver {
  readonly model: string;
  /** Decimal digits, as the label and the message have it. */
  readonly version: string;
  readonly success = tally();
  readonly fail = tally();
  readonly queue = tally();
  readonly computeInput = tally();
  readonly computeInfer = tally();
  readonly computeOutput = tally();
  readonly failReasons: Record<FailReason, number> = {
    REJECTED: 0,
    TIMEOUT: 0,
    CANCELED: 0,
    BACKEND: 0,
    OTHER: 0,
  };
  readonly shedReasons: Record<ShedReason, number> = { 'queue-full': 0, deadline: 0 };
  /** By rows of the batch. */
  readonly batches = new Map<number, BatchTally>();
  readonly requestSeconds = new Buckets(DURATION_BUCKETS_S);
  readonly queueSeconds = new Buckets(DURATION_BUCKETS_S);
  /** Of each run, whatever the requests in it. */
  readonly computeSeconds = new Buckets(DURATION_BUCKETS_S);
  readonly batchRows = new Buckets(BATCH_BUCKETS);
  /** Rows that were computed, and runs that computed them. */
  inferenceCount = 0;
  executionCount = 0;
  /** Milliseconds since 1970 of the last run; 0: none yet. */
  lastInferenceMs = 0;
  instancesReplaced = 0;
  /** Where its runs happen; undefined while it is not loaded. */
  way: Way | undefined;
  /** Hears when that changes while it is loaded. */
  onWay: ((way: Way) => void) | undefined;
  /** Why they don't happen on the thread that serves, or left it; '' else. */
  wayReason = '';
  /** Requests waiting or running: told by the loaded model, when there is one. */
  pending: () => number = () => 0;
  readonly #dateMs: () => number;

  constructor(model: string, version: string, dateMs: () => number) {
    this.model = model;
    this.version = version;
    this.#dateMs = dateMs;
  }

  batchDone(requests: number, timings: RunTimings): void {
    const { batchRows: rows, computeInputNs, computeInferNs, computeOutputNs } = timings;
    this.executionCount += 1;
    this.inferenceCount += rows;
    this.lastInferenceMs = this.#dateMs();
    this.batchRows.observe(rows);
    this.computeSeconds.observe(computeInferNs / 1e9);
    let batch = this.batches.get(rows);
    if (batch === undefined) {
      batch = { computeInput: tally(), computeInfer: tally(), computeOutput: tally() };
      this.batches.set(rows, batch);
    }
    add(batch.computeInput, computeInputNs);
    add(batch.computeInfer, computeInferNs);
    add(batch.computeOutput, computeOutputNs);
    add(this.computeInput, computeInputNs, requests);
    add(this.computeInfer, computeInferNs, requests);
    add(this.computeOutput, computeOutputNs, requests);
  }

  requestsSucceeded(requests: number, totalNs: number, queueNs: number): void {
    add(this.success, totalNs, requests);
    add(this.queue, queueNs, requests);
    this.requestSeconds.observe(totalNs / 1e9, requests);
    this.queueSeconds.observe(queueNs / 1e9, requests);
  }

  requestFailed(reason: FailReason, totalNs: number): void {
    this.failReasons[reason] += 1;
    add(this.fail, totalNs);
  }

  requestShed(reason: ShedReason): void {
    this.shedReasons[reason] += 1;
  }

  wayChosen(way: Way, reason: string): void {
    this.way = way;
    this.wayReason = reason;
    this.onWay?.(way);
  }

  instanceReplaced(): void {
    this.instancesReplaced += 1;
  }
}

/** The statistics of a node; past the limit versions share one that is called OTHER. */
export class StatisticsBook {
  readonly #byVersion = new Map<string, VersionStatistics>();
  readonly #dateMs: () => number;
  readonly #limit: number;
  #other: VersionStatistics | undefined;

  /** @param dateMs milliseconds since 1970 */
  constructor(dateMs: () => number, limit: number = MAX_LABEL_SETS) {
    this.#dateMs = dateMs;
    this.#limit = limit;
  }

  of(model: string, version: number): VersionStatistics {
    const key = `${model}/${version}`;
    const known = this.#byVersion.get(key);
    if (known !== undefined) return known;
    if (this.#byVersion.size >= this.#limit) {
      this.#other ??= new VersionStatistics(OTHER, OTHER, this.#dateMs);
      return this.#other;
    }
    const made = new VersionStatistics(model, String(version), this.#dateMs);
    this.#byVersion.set(key, made);
    return made;
  }

  *all(): Iterable<VersionStatistics> {
    yield* this.#byVersion.values();
    if (this.#other !== undefined) yield this.#other;
  }
}
