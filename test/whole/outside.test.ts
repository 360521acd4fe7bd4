// Other people's clients against a running server.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { TINY_MLP, writeTinyRepository } from '../../loadtest/tiny-mlp.ts';
import { outsideClient } from '../support/outside-client.ts';
import { outsideTool, runTool } from '../support/outside-tools.ts';
import { skip } from '../support/skip.ts';
import { until } from '../support/small-cluster.ts';
import { dataFolder, startTorus, type TorusProcess } from '../support/torus-process.ts';
import { startTraceCollector } from '../support/trace-collector.ts';

const TOOL_TIMEOUT_MS = 60_000;
const SCRIPT = fileURLToPath(new URL('../testdata/python/triton_client.py', import.meta.url));

let server: TorusProcess;
let collector: Awaited<ReturnType<typeof startTraceCollector>>;
let folder = '';
test.before(async () => {
  const data = await dataFolder({ teardown: () => undefined });
  folder = join(dirname(data), 'models');
  await writeTinyRepository(folder);
  collector = await startTraceCollector();
  const traces = ['--trace-otlp', collector.address, '--trace-sample', '1'];
  server = await startTorus({ data, flags: ['--model-repository', folder, ...traces] });
  await server.sees(/model repository .*: 1 imported/);
});
test.after.always(async () => {
  await server?.end('SIGKILL');
  collector?.stop();
});

test('the Python client of Triton: gRPC and HTTP, infer, metadata, statistics, load', async (t) => {
  const python = outsideTool('python/bin/python');
  if (python === undefined) return skip(t, 'tritonclient is not installed (scripts/ci-setup)');
  const ran = await runTool(python, [SCRIPT, server.grpc, server.http], TOOL_TIMEOUT_MS);
  t.is(ran.code, 0, ran.output);
  t.regex(ran.output, /all well/);
});

test('grpcurl lists and describes the services by reflection, and asks for health', async (t) => {
  const grpcurl = outsideTool('bin/grpcurl');
  if (grpcurl === undefined) return skip(t, 'grpcurl is not installed (scripts/ci-setup)');
  const ask = (...args: string[]) => runTool(grpcurl, ['-plaintext', ...args], TOOL_TIMEOUT_MS);
  const listed = await ask(server.grpc, 'list');
  t.is(listed.code, 0, listed.output);
  t.regex(listed.output, /grpc\.health\.v1\.Health/);
  t.regex(listed.output, /inference\.GRPCInferenceService/);
  t.regex(listed.output, /tensorflow\.serving\.PredictionService/);
  const described = await ask(server.grpc, 'describe', 'inference.ModelInferRequest');
  t.regex(described.output, /repeated bytes raw_input_contents = 7;/);
  const health = await ask(server.grpc, 'grpc.health.v1.Health/Check');
  t.regex(health.output, /SERVING/);
  const admin = await ask(server.admin, 'torus.v1.ClusterService/GetClusterStatus');
  t.is(admin.code, 0, admin.output);
  t.regex(admin.output, /node-1/);
});

test('spans of router and node arrive at a collector, in one trace', async (t) => {
  const client = outsideClient(server.grpc);
  t.teardown(() => client.close());
  const row = Buffer.alloc(16 * 4);
  const infer = {
    model_name: TINY_MLP,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 16] }],
    raw_input_contents: [row],
  };
  const trace = 'c0ffee00000000000000000000000001';
  const traceparent = `00-${trace}-00000000000000aa-01`;
  // The model may be unloaded, for a moment, by the test beside this one.
  await until('it is answered', () =>
    client.call('ModelInfer', infer, { traceparent }).then(
      () => true,
      () => false,
    ),
  );
  const ofTrace = () => collector.spans.filter(({ traceId }) => traceId === trace);
  const services = () => [...new Set(ofTrace().map(({ service }) => service))].sort();
  await collector.sees(() => services().length === 2);
  t.deepEqual(services(), ['torus-node', 'torus-router']);
  t.true(ofTrace().every(({ parentSpanId }) => parentSpanId === '00000000000000aa'));
});

test('metrics are scraped under the known names, every role is live and ready', async (t) => {
  const get = async (path: string) => {
    const response = await fetch(`http://${server.metrics}${path}`);
    return { status: response.status, text: await response.text() };
  };
  t.is((await get('/livez')).status, 200);
  t.is((await get('/readyz')).status, 200);
  const { text } = await get('/metrics');
  for (const name of [
    'nv_inference_request_success',
    'nv_inference_request_failure',
    'nv_inference_count',
    'nv_inference_exec_count',
    'nv_inference_pending_request_count',
    'nv_inference_request_duration_us',
    'nv_inference_queue_duration_us',
    'nv_inference_compute_input_duration_us',
    'nv_inference_compute_infer_duration_us',
    'nv_inference_compute_output_duration_us',
    'torus_request_duration_seconds',
    'torus_router_requests_total',
    'torus_trace_spans_total',
    'torus_ring_nodes',
    'torus_assignment_revision',
    'torus_jobs',
    'process_resident_memory_bytes',
    'nodejs_eventloop_lag_seconds',
  ]) {
    t.regex(text, new RegExp(`^# TYPE ${name} `, 'm'), name);
  }
  for (const thread of ['main', 'data-plane']) {
    t.regex(text, new RegExp(`^torus_event_loop_lag_seconds\\{thread="${thread}"`, 'm'));
  }
});
