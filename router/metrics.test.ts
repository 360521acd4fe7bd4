// What the router counts, as /metrics tells it.
import test from 'ava';
import { createMetrics, LabelLimit, renderMetrics, snapshot } from '../common/metrics.ts';
import { Code } from '../common/status.ts';
import { routerMetrics } from './metrics.ts';

const GAUGES = {
  ...{ waitingCalls: () => 0, waitingBytes: () => 0, knownNodes: () => 0 },
  ...{ ejectedCopies: () => 0, silentNodes: () => 0, registryStalenessMs: () => 1_500 },
};

function world(limit?: LabelLimit) {
  const registry = createMetrics();
  const metrics = routerMetrics(registry, GAUGES, limit);
  const page = async () => await renderMetrics([await snapshot(registry)]);
  const counted = async (model: string, code: string): Promise<number> => {
    const line = `torus_router_requests_total\\{model="${model}",code="${code}"\\} (\\d+)`;
    return Number(new RegExp(line).exec(await page())?.[1] ?? 0);
  };
  return { metrics, page, counted };
}

test('answers are counted by model and code, the unknown ones together', async (t) => {
  const { metrics, counted } = world();
  for (const model of ['a', 'b', 'a', 'a']) metrics.answered(model, true, Code.OK);
  metrics.answered('a', true, Code.UNAVAILABLE);
  metrics.answered('made-up', false, Code.NOT_FOUND);
  metrics.answered('a', true, Code.OK);
  for (let look = 0; look < 2; look += 1) {
    t.is(await counted('a', 'OK'), 4);
    t.is(await counted('b', 'OK'), 1);
    t.is(await counted('a', 'UNAVAILABLE'), 1);
    t.is(await counted('_other', 'NOT_FOUND'), 1);
    t.is(await counted('made-up', 'NOT_FOUND'), 0);
  }
});

test('past the limit of label sets models are counted together, those before go on', async (t) => {
  const { metrics, counted } = world(new LabelLimit(2));
  for (const model of ['a', 'b', 'c', 'd', 'c', 'a']) metrics.answered(model, true, Code.OK);
  metrics.answered('a', true, Code.INTERNAL);
  t.is(await counted('a', 'OK'), 2);
  t.is(await counted('b', 'OK'), 1);
  t.is(await counted('_other', 'OK'), 3);
  t.is(await counted('_other', 'INTERNAL'), 1);
});

test('what nodes took is a histogram in seconds', async (t) => {
  const { metrics, page } = world();
  for (const durationMs of [0.4, 2, 2, 60_000]) metrics.upstream(durationMs);
  const text = await page();
  t.regex(text, /torus_router_upstream_seconds_bucket\{le="0.0005"\} 1\n/);
  t.regex(text, /torus_router_upstream_seconds_bucket\{le="0.0025"\} 3\n/);
  t.regex(text, /torus_router_upstream_seconds_bucket\{le="\+Inf"\} 4\n/);
  t.regex(text, /torus_router_upstream_seconds_sum 60.0044\n/);
  t.regex(text, /torus_router_upstream_seconds_count 4\n/);
});
