// Spans of calls through the router to real nodes, as a collector receives them.
import type { ServiceError } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createMetrics } from '../common/metrics.ts';
import { Code } from '../common/status.ts';
import { openTracing } from '../common/tracing/otlp.ts';
import { startNodeCluster } from './support/node-cluster.ts';
import { outsideClient } from './support/outside-client.ts';
import { until } from './support/small-cluster.ts';
import { addModel } from './support/tiny-onnx.ts';
import { startTraceCollector } from './support/trace-collector.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const SAMPLED = { traceparent: `00-${TRACE}-${SPAN}-01` };

const FILES = { 'add/3/model.onnx': addModel(2) };
const floats = Buffer.from(new Float32Array([1, 2]).buffer);
const request = (more: object = {}) => ({
  model_name: 'add',
  inputs: ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, 2] })),
  raw_input_contents: [floats, floats],
  ...more,
});

async function traced(t: ExecutionContext, isLocal: boolean, sampleRatio: number, ids = ['n1']) {
  const collector = await startTraceCollector();
  const tracing = openTracing({
    ...{ url: collector.url, sampleRatio, metrics: createMetrics(), version: '1' },
    random: () => 0,
  });
  const tracers = {
    router: tracing.tracer({ name: 'torus-router', instance: 'r', beginsTraces: true }),
    node: (id: string) => tracing.tracer({ name: 'torus-node', instance: id, beginsTraces: false }),
  };
  const nodes = Object.fromEntries(ids.map((id) => [id, FILES]));
  const cluster = await startNodeCluster(nodes, isLocal, tracers);
  t.teardown(async () => {
    await cluster.stop();
    await tracing.close();
    collector.stop();
  });
  const of = (service: string) => collector.spans.filter((span) => span.service === service);
  return {
    ...cluster,
    /** Once so many have been sent. */
    async spans(count: number) {
      await tracing.close();
      await collector.sees(({ length }) => length >= count);
      return { router: of('torus-router'), node: of('torus-node'), all: collector.spans };
    },
  };
}

const refused = (call: Promise<unknown>): Promise<ServiceError> =>
  call.then(
    () => Promise.reject(new Error('it was answered')),
    (error: ServiceError) => error,
  );

for (const isLocal of [false, true]) {
  const where = isLocal ? 'in one process' : 'over sockets';

  test(`${where}: a sampled call: router and node are children of its caller`, async (t) => {
    const { client, spans } = await traced(t, isLocal, 0);
    await client.call('ModelInfer', request(), SAMPLED);
    const { router, node, all } = await spans(2);
    t.is(all.length, 2);
    for (const span of all) {
      t.is(span.traceId, TRACE);
      t.is(span.parentSpanId, SPAN, 'the traceparent came through as it was sent');
      t.is(span.name, 'inference.GRPCInferenceService/ModelInfer');
      t.like(span.attributes, {
        'rpc.grpc.status_code': Code.OK,
        'torus.model.name': 'add',
        'torus.model.version': 3,
      });
    }
    t.like(router[0]?.attributes, { 'torus.node.id': 'n1', 'torus.resends': 0 });
    t.deepEqual(router[0]?.events, ['sent']);
    t.is(node[0]?.instance, 'n1');
    t.like(node[0]?.attributes, { 'torus.request.rows': 1, 'torus.batch.rows': 1 });
    for (const step of ['queue', 'compute_input', 'compute_infer', 'compute_output']) {
      t.true(Number(node[0]?.attributes[`torus.${step}_us`]) >= 0, step);
    }
  });

  test(`${where}: a trace that begins at the router has its node's span below`, async (t) => {
    const { client, spans } = await traced(t, isLocal, 1);
    await client.call('ModelInfer', request());
    const { router, node } = await spans(2);
    t.is(router[0]?.parentSpanId, '');
    t.is(node[0]?.parentSpanId, router[0]?.spanId);
    t.is(node[0]?.traceId, router[0]?.traceId);
  });

  test(`${where}: calls that are not sampled make no spans`, async (t) => {
    const { client, spans } = await traced(t, isLocal, 0);
    await client.call('ModelInfer', request());
    await client.call('ModelInfer', request(), { traceparent: `00-${TRACE}-${SPAN}-00` });
    t.deepEqual((await spans(0)).all, []);
  });

  test(`${where}: mistakes end their spans with their code`, async (t) => {
    const { client, spans } = await traced(t, isLocal, 0);
    const wrong = client.call('ModelInfer', request({ raw_input_contents: [] }), SAMPLED);
    t.is((await refused(wrong)).code, Code.INVALID_ARGUMENT);
    const unknown = client.call('ModelInfer', request({ model_name: 'none' }), SAMPLED);
    t.is((await refused(unknown)).code, Code.NOT_FOUND);
    const nonsense = client.call('ModelInfer', request({ model_version: 'x' }), SAMPLED);
    t.is((await refused(nonsense)).code, Code.INVALID_ARGUMENT);
    const { router, node } = await spans(4);
    t.deepEqual(
      router.map(({ attributes }) => attributes['rpc.grpc.status_code']),
      [Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.INVALID_ARGUMENT],
    );
    t.deepEqual(
      node.map(({ attributes, status }) => [attributes['rpc.grpc.status_code'], status]),
      [[Code.INVALID_ARGUMENT, 0]],
      'the others never came to a node',
    );
  });

  test(`${where}: each request of a stream is one span of the node`, async (t) => {
    const { client, spans } = await traced(t, isLocal, 0);
    const stream = client.duplex('ModelStreamInfer', SAMPLED);
    const ended = new Promise((resolve) => stream.on('status', resolve));
    stream.on('data', () => undefined);
    for (let at = 0; at < 3; at += 1) stream.write(request());
    stream.end();
    await ended;
    const { router, node } = await spans(4);
    t.deepEqual([router.length, node.length], [1, 3]);
    t.true(node.every(({ parentSpanId }) => parentSpanId === SPAN));
  });

  test(`${where}: calls of TensorFlow Serving are recorded too`, async (t) => {
    const { address, spans } = await traced(t, isLocal, 0);
    const client = outsideClient(address, {
      file: 'tensorflow_serving/apis/prediction_service.proto',
      service: 'tensorflow.serving.PredictionService',
    });
    t.teardown(() => client.close());
    const dim = [{ size: 1 }, { size: 2 }];
    const tensor = { dtype: 'DT_FLOAT', tensor_shape: { dim }, float_val: [1, 2] };
    const asked = { model_spec: { name: 'add' }, inputs: { a: tensor, b: tensor } };
    await client.call('Predict', asked, SAMPLED);
    await refused(client.call('Predict', { ...asked, output_filter: ['x'] }, SAMPLED));
    const { router, node } = await spans(4);
    t.deepEqual([router.length, node.length], [2, 2]);
    t.deepEqual(
      node.map(({ attributes }) => [
        attributes['rpc.method'],
        attributes['rpc.grpc.status_code'],
        attributes['torus.model.version'],
      ]),
      [
        ['Predict', Code.OK, 3],
        ['Predict', Code.INVALID_ARGUMENT, 3],
      ],
    );
  });
}

test('a call that was sent again says so, and where it ended', async (t) => {
  const { client, nodes, spans } = await traced(t, false, 0, ['n1', 'n2']);
  const [first] = nodes;
  first?.kill();
  for (let round = 0; round < 10; round += 1) await client.call('ModelInfer', request(), SAMPLED);
  const { router } = await spans(20);
  t.true(router.every(({ attributes }) => attributes['torus.node.id'] === 'n2'));
  const again = router.filter(({ attributes }) => Number(attributes['torus.resends']) > 0);
  t.true(again.length > 0, 'some met the node that is gone');
  t.deepEqual(again[0]?.events, ['sent', 'sent']);
});

test('a caller that goes ends its spans too', async (t) => {
  const { client, nodes, openCalls, spans } = await traced(t, false, 0);
  const stream = client.duplex('ModelStreamInfer', SAMPLED);
  stream.on('error', () => undefined);
  stream.write(request());
  await until('it is at the node', () => nodes[0]?.openCalls() === 1);
  stream.cancel();
  await until('nothing is left', () => openCalls() === 0 && nodes[0]?.openCalls() === 0);
  const { router } = await spans(2);
  t.like(router[0]?.attributes, { 'rpc.grpc.status_code': Code.CANCELLED });
});
