// A node over a model repository, with real ONNX models, called in process.
import test from 'ava';
import { systemClock } from '../common/clock.ts';
import { Code, type StatusError } from '../common/status.ts';
import { DATATYPES, elementSizeBytes } from '../common/tensor.ts';
import { fp32, int64 } from '../test/support/infer-requests.ts';
import {
  call,
  floats,
  infer,
  inferBytes,
  inferTyped,
  parameter,
} from '../test/support/inference-client.ts';
import { refusal, serve, start } from '../test/support/lone-node.ts';
import {
  addModel,
  gatherModel,
  identitiesModel,
  identityModel,
  mlpModel,
  slowModel,
} from '../test/support/tiny-onnx.ts';
import type { UnaryCall } from '../transport/backend.ts';

const SERVED = DATATYPES.filter((datatype) => datatype !== 'BF16');

/** One node for all tests that only call it. */
const shared = start({
  'add/3/model.onnx': addModel(2),
  'same/1/model.onnx': identityModel('FP32', ['b', 'n']),
  'all/1/model.onnx': identitiesModel(SERVED),
  'gather/1/model.onnx': gatherModel(3),
  'mlp/1/model.onnx': mlpModel(),
  'mlp/labels.txt': 'zero\none\ntwo\nthree\n',
  'mlp/config.pbtxt': `
    max_batch_size: 2
    input [{ name: "x" data_type: TYPE_FP32 dims: [ 4, 4 ] reshape { shape: [ 16 ] } }]
    output [{ name: "y" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] }
      label_filename: "labels.txt" }]
    instance_group [{ count: 2 }]`,
});
test.after.always(async () => await (await shared).end());

const ONES = [fp32('a', [1, 2], [1, 2]), fp32('b', [1, 2], [10, 20])];

test('a model of the repository answers, and tells what it is', async (t) => {
  const { node } = await shared;
  const { backend } = node;
  const answer = await infer(backend, 'add', ONES, { id: 'call-7' });
  t.deepEqual(floats(answer), [11, 22]);
  t.like(answer, { modelName: 'add', modelVersion: '3', id: 'call-7' });
  t.deepEqual(answer.outputs[0]?.shape, [1n, 2n]);
  t.deepEqual(await call(backend, 'serverLive', {}), { live: true });
  t.deepEqual(await call(backend, 'serverReady', {}), { ready: true });
  t.like(await call(backend, 'serverMetadata', {}), { name: 'torus', version: '1.2.3' });
  const tensor = { datatype: 'FP32', shape: [-1n, 2n] };
  t.deepEqual(await call(backend, 'modelMetadata', { name: 'add' }), {
    name: 'add',
    versions: ['3'],
    platform: 'onnxruntime_onnx',
    inputs: [
      { name: 'a', ...tensor },
      { name: 'b', ...tensor },
    ],
    outputs: [{ name: 'sum', ...tensor }],
  });
  const { config } = await call(backend, 'modelConfig', { name: 'add', version: '3' });
  t.like(config, { name: 'add', maxBatchSize: 64, backend: 'onnxruntime' });
  t.deepEqual(await call(backend, 'modelReady', { name: 'add' }), { ready: true });
});

test('every datatype goes through a model and comes back, typed and raw', async (t) => {
  const { node } = await shared;
  const text = Buffer.from('\x02\0\0\0\xc3\xa9\0\0\0\0\x01\0\0\0x\x01\0\0\0y', 'latin1');
  const inputs = SERVED.map((datatype) => {
    const size = elementSizeBytes(datatype) * 4;
    const bytes = Uint8Array.from({ length: size }, (_, at) => (datatype === 'BOOL' ? at % 2 : at));
    const name = `x_${datatype}`;
    return { name, datatype, shape: [2, 2], bytes: datatype === 'BYTES' ? text : bytes };
  });
  const { outputs, rawOutputContents } = await infer(node.backend, 'all', inputs.toReversed());
  t.deepEqual(
    outputs.map(({ name }) => name),
    SERVED.map((datatype) => `y_${datatype}`),
  );
  for (const [at, { datatype, bytes }] of inputs.entries()) {
    t.is(outputs[at]?.datatype, datatype);
    t.deepEqual(Buffer.from(rawOutputContents[at] ?? []), Buffer.from(bytes), datatype);
  }
  const some = await infer(node.backend, 'all', inputs, {
    outputs: [{ name: 'y_UINT8' }, { name: 'y_BOOL' }],
  });
  t.deepEqual(
    some.outputs.map(({ name }) => name),
    ['y_BOOL', 'y_UINT8'],
  );
  const typed = { fp32Contents: [1.5, -2] };
  const same = { name: 'x', datatype: 'FP32', shape: [1, 2] };
  t.deepEqual(floats(await inferTyped(node.backend, 'same', same, typed)), [1.5, -2]);
});

test('zero rows of a dimension are answered in kind', async (t) => {
  const { node } = await shared;
  const empty = fp32('x', [1, 0], []);
  const { outputs, rawOutputContents } = await infer(node.backend, 'same', [empty]);
  t.deepEqual(outputs[0]?.shape, [1n, 0n]);
  t.is(rawOutputContents[0]?.length, 0);
});

test('unknown models and versions, and versions that are no numbers', async (t) => {
  const { node } = await shared;
  const cases = [
    ['x', '', Code.NOT_FOUND, "Request for unknown model: 'x' is not found"],
    ['../add', '', Code.NOT_FOUND, "Request for unknown model: '../add' is not found"],
    ['add', '7', Code.NOT_FOUND, "Request for unknown model: 'add' version 7 is not found"],
    [
      'add',
      'x',
      Code.INVALID_ARGUMENT,
      "failed to get model version from specified version string 'x' (details: stol), version " +
        'should be an integral value > 0',
    ],
  ] as const;
  for (const [model, version, code, message] of cases) {
    for (const work of [
      infer(node.backend, model, ONES, { version }),
      call(node.backend, 'modelMetadata', { name: model, version }),
      call(node.backend, 'modelConfig', { name: model, version }),
    ]) {
      const error = await refusal(work);
      t.is(error.message, message);
      t.is(error.code, code);
    }
  }
  t.deepEqual(await call(node.backend, 'modelReady', { name: 'x' }), { ready: false });
  t.deepEqual(await call(node.backend, 'modelReady', { name: 'add', version: '9' }), {
    ready: false,
  });
  const bad = await refusal(call(node.backend, 'modelReady', { name: 'add', version: 'x' }));
  t.is(bad.code, Code.INVALID_ARGUMENT);
  const none = await refusal(call(node.backend, 'modelStatistics', { name: 'x' }));
  t.is(none.code, Code.INVALID_ARGUMENT);
  t.is(none.message, "requested model 'x' is not available");
});

test('mistakes in a request are told by name, and the next request is answered', async (t) => {
  const { node } = await serve(t, { 'add/1/model.onnx': addModel(2) });
  const [a, b] = ONES as [(typeof ONES)[0], (typeof ONES)[0]];
  const cases: [Parameters<typeof infer>[2], RegExp][] = [
    [[a], /missing required input\(s\) \['b'\]/],
    [[a, { ...b, name: 'c' }], /unexpected inference input 'c' for model 'add'/],
    [[a, { ...b, datatype: 'INT32' }], /'b' data-type is 'INT32', but model 'add' expects 'FP32'/],
    [[a, fp32('b', [1, 1, 2], [1, 2])], /Expected \[-1,2\], got \[1,1,2\]/],
    [[a, fp32('b', [1, 3], [1, 2, 3])], /Expected \[-1,2\], got \[1,3\]/],
    [[a, { ...b, bytes: b.bytes.subarray(1) }], /Expected 8, got 7/],
    [[a, fp32('b', [2, 2], [1, 2, 3, 4])], /'b' batch size does not match other inputs for 'add'/],
  ];
  for (const [inputs, message] of cases) {
    const error = await refusal(infer(node.backend, 'add', inputs));
    t.is(error.code, Code.INVALID_ARGUMENT);
    t.regex(error.message, message);
  }
  t.deepEqual(floats(await infer(node.backend, 'add', ONES)), [11, 22]);
  const [model] = (await call(node.backend, 'modelStatistics', { name: 'add' })).modelStats;
  t.is(model?.inferenceStats?.fail?.count, BigInt(cases.length));
});

test('config.pbtxt rules: batch size, reshape, labels, instances', async (t) => {
  const { node } = await shared;
  const values = Array.from({ length: 32 }, (_, at) => at / 32);
  const rows = await infer(node.backend, 'mlp', [fp32('x', [2, 4, 4], values)]);
  t.deepEqual(rows.outputs[0]?.shape, [2n, 2n, 2n]);
  const top = await infer(node.backend, 'mlp', [fp32('x', [2, 4, 4], values)], {
    outputs: [{ name: 'y', classification: 2 }],
  });
  t.like(top.outputs[0], { datatype: 'BYTES', shape: [2n, 2n] });
  const best = floats(rows).slice(0, 4);
  const index = best.indexOf(Math.max(...best));
  const label = ['zero', 'one', 'two', 'three'][index];
  const raw = Buffer.from(top.rawOutputContents[0] ?? []);
  const first = raw.toString('utf8', 4, 4 + raw.readUInt32LE(0));
  t.is(first, `${best[index]?.toFixed(6)}:${index}:${label}`);
  const three = fp32('x', [3, 4, 4], new Array(48).fill(0));
  const tooMany = await refusal(infer(node.backend, 'mlp', [three]));
  t.is(tooMany.message, "inference request batch-size must be <= 2 for 'mlp'");
});

test('a run that fails is INTERNAL or INVALID, the model goes on', async (t) => {
  const { node } = await shared;
  const error = await refusal(infer(node.backend, 'gather', [int64('index', [1, 1], [99n])]));
  t.not(error.code, Code.OK);
  const good = await infer(node.backend, 'gather', [int64('index', [1, 1], [2n])]);
  t.deepEqual(floats(good), [20]);
});

test('statistics and metrics count what happened', async (t) => {
  const { node, metrics } = await serve(t, { 'add/1/model.onnx': addModel(2) });
  const four = [fp32('a', [2, 2], [1, 2, 3, 4]), fp32('b', [2, 2], [1, 1, 1, 1])];
  await infer(node.backend, 'add', ONES);
  await infer(node.backend, 'add', four);
  const { modelStats } = await call(node.backend, 'modelStatistics', {});
  const [stats] = modelStats;
  t.like(stats, {
    name: 'add',
    version: '1',
    inferenceCount: 3n,
    executionCount: 2n,
    lastInference: 1_700_000_000_000n,
  });
  t.is(stats?.inferenceStats?.success?.count, 2n);
  t.true((stats?.inferenceStats?.computeInfer?.ns ?? 0n) > 0n);
  t.deepEqual(
    stats?.batchStats.map(({ batchSize }) => batchSize),
    [1n, 2n],
  );
  const page = await metrics.metrics();
  t.regex(page, /nv_inference_request_success\{model="add",version="1",node="n1"\} 2\n/);
  t.regex(page, /nv_inference_count\{[^}]*\} 3\n/);
});

test('requests of other methods have limits of their own', async (t) => {
  const { node } = await shared;
  const name = 'x'.repeat(2 * 1024 * 1024);
  const error = await refusal(call(node.backend, 'modelReady', { name }));
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  t.regex(error.message, /larger than the limit of 1048576/);
  const long = await refusal(infer(node.backend, name, []));
  t.true(long.message.length < 300);
});

/** A call whose deadline nobody watches but the node. */
function callWith(
  request: Uint8Array,
  deadlineMs: number,
  fail: (error: StatusError) => void,
  succeed: (response: Uint8Array) => void,
): UnaryCall {
  const path = '/inference.GRPCInferenceService/ModelInfer';
  const context = { path, metadata: [], deadlineMs, peer: 'local', isCancelled: false };
  return { ...context, onCancel: undefined, request, succeed, fail };
}

/** Longer than this process may stand still between two calls, shorter than a run of the model. */
const IMPATIENT_US = 100_000n;

test('a full queue, a long wait, a deadline: each told, and nothing computed', async (t) => {
  const { node } = await serve(t, {
    'slow/1/model.onnx': slowModel(600),
    'slow/config.pbtxt': `
      max_batch_size: 1
      dynamic_batching { default_queue_policy { max_queue_size: 1 allow_timeout_override: true } }`,
  });
  const x = [fp32('x', [1, 1], [1])];
  const send = (options?: Parameters<typeof infer>[3]) => infer(node.backend, 'slow', x, options);
  const first = send();
  const late = new Promise<StatusError>((resolve, reject) => {
    const past = systemClock.nowMs() - 1;
    node.backend.unary(callWith(inferBytes('slow', x), past, resolve, reject));
  });
  const impatient = refusal(
    send({ id: 'i7', parameters: new Map([['timeout', parameter(IMPATIENT_US)]]) }),
  );
  const rejected = await refusal(send());
  t.is(rejected.code, Code.UNAVAILABLE);
  t.regex(rejected.message, /Exceeds maximum queue size/);
  t.is((await late).code, Code.DEADLINE_EXCEEDED);
  const expired = await impatient;
  t.is(expired.code, Code.UNAVAILABLE);
  t.is(expired.message, '[request id: i7] Request timeout expired');
  await first;
  const { modelStats } = await call(node.backend, 'modelStatistics', { name: 'slow' });
  t.is(modelStats[0]?.executionCount, 1n);
  t.is(modelStats[0]?.inferenceStats?.fail?.count, 3n);
});

test('draining: health says so, what runs is answered, then no more is taken', async (t) => {
  const { node } = await serve(t, { 'add/1/model.onnx': addModel(2) });
  const running = infer(node.backend, 'add', ONES);
  const drained = node.drain();
  t.is(node.health.isServing(''), false);
  t.deepEqual(await call(node.backend, 'serverReady', {}), { ready: false });
  t.deepEqual(floats(await running), [11, 22]);
  await drained;
  t.is((await refusal(infer(node.backend, 'add', ONES))).code, Code.UNAVAILABLE);
});
