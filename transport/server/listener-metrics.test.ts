import test from 'ava';
import { createMetrics, renderMetrics, snapshot } from '../../common/metrics.ts';
import { listenerMetrics } from './listener-metrics.ts';

test('crossed limits are counted by name, and what is held is shown', async (t) => {
  const registry = createMetrics();
  const metrics = listenerMetrics(registry, 'router');
  metrics.onLimit('pings');
  metrics.onLimit('pings');
  metrics.watch({
    held: { connections: 3, calls: 2, requestBytes: 70, answerBytes: 8, deadlines: 2 },
  });
  const page = await renderMetrics([await snapshot(registry)]);
  t.regex(page, /^torus_grpc_limit_crossings_total\{listener="router",limit="pings"\} 2$/m);
  t.regex(page, /^torus_grpc_connections\{listener="router"\} 3$/m);
  t.regex(page, /^torus_grpc_request_bytes\{listener="router"\} 70$/m);
});

test('nothing is shown of a listener that is not there yet', async (t) => {
  const registry = createMetrics();
  listenerMetrics(registry, 'node-1');
  const page = await renderMetrics([await snapshot(registry)]);
  t.notRegex(page, /^torus_grpc_connections\{/m);
});
