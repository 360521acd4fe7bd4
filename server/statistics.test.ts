import test from 'ava';
import { createMetrics, renderMetrics, snapshot } from '../common/metrics.ts';
import type { RunTimings } from './loaded-model.ts';
import { registerInferenceMetrics } from './metrics.ts';
import { StatisticsBook } from './statistics.ts';

const TIMINGS: RunTimings = {
  computeInputNs: 2_000,
  computeInferNs: 3_000_000,
  computeOutputNs: 4_000,
  batchRows: 4,
};

function twoRequestsInOneBatch(book: StatisticsBook): void {
  const statistics = book.of('digits', 7);
  statistics.batchDone(2, TIMINGS);
  statistics.requestsSucceeded(1, 5_000_000, 1_000_000);
  statistics.requestsSucceeded(1, 6_000_000, 1_000_000);
  statistics.requestFailed('REJECTED', 10_000);
  statistics.pending = () => 5;
}

test('requests, rows and runs are counted apart', (t) => {
  const book = new StatisticsBook(() => 1234);
  twoRequestsInOneBatch(book);
  const statistics = book.of('digits', 7);
  t.is(statistics.inferenceCount, 4);
  t.is(statistics.executionCount, 1);
  t.deepEqual(statistics.success, { count: 2, ns: 11_000_000 });
  t.deepEqual(statistics.fail, { count: 1, ns: 10_000 });
  t.deepEqual(statistics.queue, { count: 2, ns: 2_000_000 });
  t.deepEqual(statistics.batches.get(4)?.computeInfer, { count: 1, ns: 3_000_000 });
  t.is(statistics.lastInferenceMs, 1234);
});

test("the metrics page has Triton's names and histograms that sum over nodes", async (t) => {
  const metrics = createMetrics();
  const book = new StatisticsBook(() => 0);
  registerInferenceMetrics(metrics, 'n1', book);
  twoRequestsInOneBatch(book);
  const part = await snapshot(metrics);
  const page = await renderMetrics([structuredClone(part), structuredClone(part)]);
  const labels = 'model="digits",version="7",node="n1"';
  for (const line of [
    `nv_inference_request_success{${labels}} 4`,
    `nv_inference_request_failure{${labels},reason="REJECTED"} 2`,
    `nv_inference_count{${labels}} 8`,
    `nv_inference_exec_count{${labels}} 2`,
    `nv_inference_pending_request_count{${labels}} 10`,
    `nv_inference_request_duration_us{${labels}} 22000`,
    `nv_inference_queue_duration_us{${labels}} 4000`,
    `nv_inference_compute_infer_duration_us{${labels}} 12000`,
    `torus_request_duration_seconds_bucket{le="0.0025",${labels}} 0`,
    `torus_request_duration_seconds_bucket{le="0.005",${labels}} 2`,
    `torus_request_duration_seconds_bucket{le="+Inf",${labels}} 4`,
    `torus_request_duration_seconds_count{${labels}} 4`,
    `torus_compute_infer_duration_seconds_bucket{le="0.0025",${labels}} 0`,
    `torus_compute_infer_duration_seconds_bucket{le="0.005",${labels}} 2`,
    `torus_batch_rows_bucket{le="4",${labels}} 2`,
    `torus_batch_rows_sum{${labels}} 8`,
  ]) {
    t.true(page.split('\n').includes(line), `${line}\nis not in\n${page}`);
  }
  t.regex(await metrics.metrics(), /torus_batch_rows_count\{[^}]*\} 1\n/);
});

test('requests that came together count as many', (t) => {
  const book = new StatisticsBook(() => 0);
  const [one, other] = [book.of('a', 1), book.of('b', 1)];
  one.requestsSucceeded(3, 5_000_000, 1_000_000);
  for (let i = 0; i < 3; i += 1) other.requestsSucceeded(1, 5_000_000, 1_000_000);
  t.deepEqual(one.success, other.success);
  t.deepEqual(one.queue, { count: 3, ns: 3_000_000 });
  t.deepEqual(one.requestSeconds.counts, other.requestSeconds.counts);
});

test('asking twice counts nothing twice', async (t) => {
  const metrics = createMetrics();
  const book = new StatisticsBook(() => 0);
  registerInferenceMetrics(metrics, 'n1', book);
  twoRequestsInOneBatch(book);
  const first = await metrics.metrics();
  t.is(await metrics.metrics(), first);
});

test('past the limit versions are counted together', (t) => {
  const book = new StatisticsBook(() => 0, 2);
  book.of('a', 1);
  book.of('b', 1);
  t.is(book.of('c', 1), book.of('d', 9));
  t.not(book.of('a', 1), book.of('b', 1));
  t.deepEqual(
    [...book.all()].map(({ model, version }) => `${model}/${version}`),
    ['a/1', 'b/1', '_other/_other'],
  );
});
