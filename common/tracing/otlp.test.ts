import test from 'ava';
import { until } from '../../test/support/small-cluster.ts';
import { startTraceCollector } from '../../test/support/trace-collector.ts';
import { createMetrics } from '../metrics.ts';
import { Code } from '../status.ts';
import { MAX_WAITING_SPANS, openTracing, type TracingOptions } from './otlp.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const PATH = '/inference.GRPCInferenceService/ModelInfer';

function open(url: string, more: Partial<TracingOptions> = {}) {
  const metrics = createMetrics();
  const tracing = openTracing({
    ...{ url, metrics, sampleRatio: 1, random: () => 0, version: '1' },
    ...more,
  });
  const tracer = tracing.tracer({ name: 'torus-router', instance: 'r', beginsTraces: true });
  const counted = async () => {
    const { values } = (await metrics.getMetricsAsJSON())[0] as unknown as {
      values: { labels: { result: string }; value: number }[];
    };
    return Object.fromEntries(values.map(({ labels, value }) => [labels.result, value]));
  };
  return { tracing, tracer, counted };
}

const call = (traceparent?: string, tracestate?: string) => ({
  path: PATH,
  metadata: [
    ...(traceparent === undefined ? [] : [['traceparent', traceparent] as const]),
    ...(tracestate === undefined ? [] : [['tracestate', tracestate] as const]),
  ],
});

test("a span is a child of the caller's, and says what gRPC's conventions ask for", async (t) => {
  const collector = await startTraceCollector();
  const { tracing, tracer, counted } = open(collector.url);
  const span = tracer.begin(call(`00-${TRACE}-${SPAN}-01`, 'v=1'));
  t.is(span?.traceparentToAdd, undefined, 'the caller sent one');
  span?.set({ 'torus.model.name': 'm' });
  span?.event('sent', { 'torus.node.id': 'n' });
  span?.end(Code.UNAVAILABLE);
  span?.end(Code.OK);
  await tracing.close();
  await collector.sees((spans) => spans.length === 1);
  t.deepEqual(collector.paths, ['/v1/traces']);
  t.is(collector.spans.length, 1);
  t.like(collector.spans[0], {
    service: 'torus-router',
    instance: 'r',
    name: 'inference.GRPCInferenceService/ModelInfer',
    traceId: TRACE,
    parentSpanId: SPAN,
    traceState: 'v=1',
    status: 2,
    events: ['sent'],
    attributes: {
      'rpc.system': 'grpc',
      'rpc.service': 'inference.GRPCInferenceService',
      'rpc.method': 'ModelInfer',
      'rpc.grpc.status_code': Code.UNAVAILABLE,
      'torus.model.name': 'm',
    },
  });
  await until('it is counted', async () => (await counted()).exported === 1);
  t.deepEqual(await counted(), { exported: 1, failed: 0, dropped: 0 });
  collector.stop();
});

test("a mistake of the caller is no error of the server's", async (t) => {
  const collector = await startTraceCollector();
  const { tracing, tracer } = open(collector.url);
  for (const code of [Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.INTERNAL]) {
    tracer.begin(call())?.end(code);
  }
  await tracing.close();
  await collector.sees((spans) => spans.length === 4);
  t.deepEqual(
    collector.spans.map(({ status }) => status),
    [0, 0, 0, 2],
  );
  collector.stop();
});

test('unsampled calls make no spans; chance begins traces, and only where they may', async (t) => {
  const collector = await startTraceCollector();
  const draws = [0.2, 0.3, 0.1];
  const { tracing, tracer } = open(collector.url, {
    sampleRatio: 0.25,
    random: () => draws.shift() ?? 1,
  });
  t.is(tracer.begin(call(`00-${TRACE}-${SPAN}-00`)), undefined);
  const first = tracer.begin(call());
  t.is(tracer.begin(call()), undefined, '0.3 is above the ratio');
  t.regex(first?.traceparentToAdd ?? '', /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  const wrong = tracer.begin(call('nonsense'));
  t.is(wrong?.traceparentToAdd, undefined, 'one is there, such as it is');
  const node = tracing.tracer({ name: 'torus-node', instance: 'n', beginsTraces: false });
  t.is(node.begin(call()), undefined);
  const below = node.begin(call(first?.traceparentToAdd));
  for (const span of [below, first, wrong]) span?.end(Code.OK);
  await tracing.close();
  await collector.sees((spans) => spans.length === 3);
  const [child, root, other] = collector.spans;
  t.is(child?.parentSpanId, root?.spanId);
  t.is(child?.traceId, root?.traceId);
  t.deepEqual([root?.parentSpanId, other?.parentSpanId], ['', '']);
  t.not(other?.traceId, root?.traceId);
  collector.stop();
});

test('a collector that is not there costs spans and nothing else', async (t) => {
  const gone = await startTraceCollector();
  gone.stop();
  const { tracing, tracer, counted } = open(gone.url);
  for (let at = 0; at < 10; at += 1) tracer.begin(call())?.end(Code.OK);
  await t.notThrowsAsync(tracing.close());
  const { exported, dropped } = await counted();
  t.deepEqual([exported, dropped], [0, 0]);
});

test('a collector that never answers: what waits is bounded, the rest is dropped', async (t) => {
  const stuck = await startTraceCollector(undefined);
  const { tracing, tracer, counted } = open(stuck.url);
  const many = 3 * MAX_WAITING_SPANS;
  for (let at = 0; at < many; at += 1) tracer.begin(call())?.end(Code.OK);
  const { dropped = 0 } = await counted();
  t.true(dropped >= many - MAX_WAITING_SPANS - 1024, `${dropped} were dropped`);
  t.true(dropped < many);
  await t.notThrowsAsync(tracing.close());
  stuck.stop();
});
