// Histograms that are filled elsewhere: what /metrics tells of them, of one thread and of several.
import test from 'ava';
import { Buckets, FilledHistogram } from './histogram.ts';
import { createMetrics, renderMetrics, snapshot } from './metrics.ts';

function filled(...values: readonly number[]) {
  const buckets = new Buckets([1, 2]);
  for (const value of values) buckets.observe(value);
  const metrics = createMetrics();
  const read = () => [{ labels: { model: 'm' }, buckets }];
  metrics.registerMetric(new FilledHistogram('wait', 'how long', ['model'], read));
  return { buckets, metrics };
}

test('a value on a bound counts below it, one above all bounds at the end', (t) => {
  const { buckets } = filled(0, 1, 1.5, 2, 3);
  t.deepEqual([...buckets.counts], [2, 2, 1]);
  t.is(buckets.sum, 7.5);
  buckets.observe(2, 10);
  t.deepEqual([...buckets.counts], [2, 12, 1]);
});

test('the page has running counts, sum and count; threads add up', async (t) => {
  const threads = [filled(0.5, 5), filled(1.5)];
  const text = await renderMetrics(
    await Promise.all(threads.map(({ metrics }) => snapshot(metrics))),
  );
  t.regex(text, /wait_bucket\{le="1",model="m"\} 1\n/);
  t.regex(text, /wait_bucket\{le="2",model="m"\} 2\n/);
  t.regex(text, /wait_bucket\{le="\+Inf",model="m"\} 3\n/);
  t.regex(text, /wait_sum\{model="m"\} 7\n/);
  t.regex(text, /wait_count\{model="m"\} 3\n/);
  const own = await threads[0]?.metrics.metrics();
  t.regex(own ?? '', /# TYPE wait histogram/);
  t.regex(own ?? '', /wait_count\{model="m"\} 2/);
});
