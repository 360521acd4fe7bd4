import test from 'ava';
import { Counter, Gauge, Histogram } from 'prom-client';
import {
  collectLoopLag,
  createMetrics,
  LabelLimit,
  OTHER,
  renderMetrics,
  snapshot,
} from './metrics.ts';

test('threads are joined: counters and histograms add up, label sets stay apart', async (t) => {
  const threads = [1, 2].map((node) => {
    const metrics = createMetrics();
    const calls = new Counter({
      name: 'calls_total',
      help: 'calls',
      labelNames: ['model', 'node'],
      registers: [metrics],
    });
    calls.inc({ model: 'digits', node: 'shared' }, 2);
    calls.inc({ model: 'digits', node: String(node) }, node);
    const wait = new Histogram({
      name: 'wait_seconds',
      help: 'wait',
      buckets: [1, 2],
      registers: [metrics],
    });
    wait.observe(1.5);
    new Gauge({ name: 'queued', help: 'queued', registers: [metrics] }).set(node);
    return metrics;
  });
  const text = await renderMetrics(await Promise.all(threads.map(snapshot)));
  t.regex(text, /calls_total\{model="digits",node="shared"\} 4/);
  t.regex(text, /calls_total\{model="digits",node="1"\} 1/);
  t.regex(text, /wait_seconds_bucket\{le="2"\} 2/);
  t.regex(text, /wait_seconds_bucket\{le="1"\} 0/);
  t.regex(text, /queued 3/);
});

test('no thread has metrics yet: an empty page, not an error', async (t) => {
  t.is((await renderMetrics([[]])).trim(), '');
});

test('label sets past the limit are counted as _other, known ones stay', (t) => {
  const limit = new LabelLimit(2);
  t.deepEqual(limit.fit(['a', '1']), ['a', '1']);
  t.deepEqual(limit.fit(['b', '1']), ['b', '1']);
  t.deepEqual(limit.fit(['c', '1']), [OTHER, OTHER]);
  t.deepEqual(limit.fit(['a', '1']), ['a', '1']);
});

test("a thread's blocked event loop shows as its lag, once", async (t) => {
  const metrics = createMetrics();
  collectLoopLag(metrics, 'serving');
  const longest = async (): Promise<number> => {
    const page = await metrics.metrics();
    return Number(/lag_seconds\{thread="serving",quantile="1"\} (\S+)/.exec(page)?.[1]);
  };
  const turns = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));
  await turns();
  const endMs = performance.now() + 150;
  while (performance.now() < endMs);
  await turns();
  t.true((await longest()) > 0.1);
  t.true((await longest()) < 0.1, 'counted since the last look only');
});
