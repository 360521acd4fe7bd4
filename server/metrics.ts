// The node's metrics under Triton's names, read from the statistics when /metrics is asked, so that
// a call pays nothing for them. Labels: model, version, node.
import { Counter, Gauge } from 'prom-client';
import { FilledHistogram } from '../common/histogram.ts';
import { LabelLimit, type Metrics } from '../common/metrics.ts';
import type { StatisticsBook, VersionStatistics } from './statistics.ts';

const LABELS = ['model', 'version', 'node'] as const;

type Read = (statistics: VersionStatistics) => number;

const COUNTERS: readonly (readonly [name: string, help: string, read: Read])[] = [
  ['nv_inference_request_success', 'Requests that succeeded', (s) => s.success.count],
  ['nv_inference_count', 'Inferences: rows of all batches', (s) => s.inferenceCount],
  ['nv_inference_exec_count', 'Runs of the model, each of one batch', (s) => s.executionCount],
  ['nv_inference_request_duration_us', 'Requests, from end to end', (s) => s.success.ns / 1e3],
  ['nv_inference_queue_duration_us', 'Requests waiting in the queue', (s) => s.queue.ns / 1e3],
  ['nv_inference_compute_input_duration_us', 'Copying of inputs', (s) => s.computeInput.ns / 1e3],
  ['nv_inference_compute_infer_duration_us', 'The runs themselves', (s) => s.computeInfer.ns / 1e3],
  [
    'nv_inference_compute_output_duration_us',
    'Copying of outputs',
    (s) => s.computeOutput.ns / 1e3,
  ],
  ['torus_instance_replaced_total', 'Instances ended and replaced', (s) => s.instancesReplaced],
];

const HISTOGRAMS = [
  ['torus_request_duration_seconds', 'Requests that succeeded, end to end', 'requestSeconds'],
  ['torus_queue_duration_seconds', 'Wait of requests in the queue', 'queueSeconds'],
  ['torus_compute_infer_duration_seconds', 'Runs of the model', 'computeSeconds'],
  ['torus_batch_rows', 'Rows of each run', 'batchRows'],
] as const;

/** Registers them all; `node` is the label that tells nodes of one process apart. */
export function registerInferenceMetrics(
  metrics: Metrics,
  node: string,
  book: StatisticsBook,
): void {
  const registers = [metrics];
  const labelsOf = ({ model, version }: VersionStatistics) => ({ model, version, node });
  for (const [name, help, read] of COUNTERS) {
    new Counter({
      name,
      help,
      labelNames: LABELS,
      registers,
      collect() {
        this.reset();
        for (const statistics of book.all()) this.inc(labelsOf(statistics), read(statistics));
      },
    });
  }
  const failed = 'Requests that failed, by reason';
  countReasons(metrics, node, 'nv_inference_request_failure', failed, () =>
    Array.from(book.all(), (one) => [one, one.failReasons]),
  );
  const shed = 'Requests refused at once: no room in the queue, or no answer before their deadline';
  countReasons(metrics, node, 'torus_requests_shed_total', shed, () =>
    Array.from(book.all(), (one) => [one, one.shedReasons]),
  );
  new Gauge({
    name: 'nv_inference_pending_request_count',
    help: 'Requests waiting or running',
    labelNames: LABELS,
    registers,
    collect() {
      this.reset();
      for (const statistics of book.all()) this.set(labelsOf(statistics), statistics.pending());
    },
  });
  new Gauge({
    name: 'torus_model_way',
    help: "1 for where a loaded model's runs happen: worker, inline, or inline_public (fall-back)",
    labelNames: [...LABELS, 'way'],
    registers,
    // Of all threads that run it.
    aggregator: 'max',
    collect() {
      this.reset();
      for (const statistics of book.all()) {
        const { way } = statistics;
        if (way !== undefined) this.set({ ...labelsOf(statistics), way }, 1);
      }
    },
  });
  for (const [name, help, field] of HISTOGRAMS) {
    metrics.registerMetric(
      new FilledHistogram(name, help, LABELS, () =>
        Array.from(book.all(), (statistics) => ({
          labels: labelsOf(statistics),
          buckets: statistics[field],
        })),
      ),
    );
  }
}

/** Several label sets for each version: they have a limit of their own. */
function countReasons(
  metrics: Metrics,
  node: string,
  name: string,
  help: string,
  read: () => readonly (readonly [VersionStatistics, Readonly<Record<string, number>>])[],
): void {
  const limit = new LabelLimit();
  new Counter({
    ...{ name, help },
    labelNames: [...LABELS, 'reason'],
    registers: [metrics],
    collect() {
      this.reset();
      for (const [statistics, counts] of read()) {
        for (const [why, count] of Object.entries(counts)) {
          const labels = [statistics.model, statistics.version, why];
          const [model = '', version = '', reason = ''] = limit.fit(labels);
          this.inc({ model, version, node, reason }, count);
        }
      }
    },
  });
}
