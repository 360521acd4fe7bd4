// A node over a model repository, with real ONNX models, called in process.
import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { Code, StatusError } from '../common/status.ts';
import { DATATYPES, elementSizeBytes } from '../common/tensor.ts';
import { fp32, int64 } from '../test/support/infer-requests.ts';
import { call, floats, infer, inferTyped } from '../test/support/inference-client.ts';
import {
  addModel,
  gatherModel,
  identitiesModel,
  identityModel,
  mlpModel,
  unknownOperatorModel,
} from '../test/support/tiny-onnx.ts';
import { type InferenceNode, startNode } from './node.ts';

const log = createLog({ role: 'node', level: 'silent' });

interface Lone {
  readonly node: InferenceNode;
  readonly repository: string;
  readonly metrics: ReturnType<typeof createMetrics>;
  end(): Promise<void>;
}

/** Files by path: bytes, or text. Starts a node over them; ready when this resolves. */
async function start(files: Record<string, Uint8Array | string>): Promise<Lone> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-node-'));
  const repository = join(folder, 'models');
  await mkdir(repository);
  for (const [path, content] of Object.entries(files)) await put(repository, path, content);
  const metrics = createMetrics();
  const node = await startNode({
    id: 'n1',
    source: { kind: 'repository', folder: repository },
    dataDir: join(folder, 'data'),
    clock: systemClock,
    wallMs: () => 1_700_000_000_000,
    log,
    metrics,
    serverVersion: '1.2.3',
    onFatal: (error) => {
      throw error;
    },
  });
  await ready(node);
  const end = async (): Promise<void> => {
    await node.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { node, repository, metrics, end };
}

async function serve(
  t: ExecutionContext,
  files: Record<string, Uint8Array | string>,
): Promise<Lone> {
  const lone = await start(files);
  t.teardown(lone.end);
  return lone;
}

async function put(repository: string, path: string, content: Uint8Array | string): Promise<void> {
  const target = join(repository, path);
  await mkdir(join(target, '..'), { recursive: true });
  await writeFile(target, content);
}

function ready({ health }: InferenceNode): Promise<void> {
  if (health.isServing('') === true) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = health.onChange(() => {
      if (health.isServing('') !== true) return;
      stop();
      resolve();
    });
  });
}

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
    output [{ name: "y" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" }]
    instance_group [{ count: 2 }]`,
});
test.after.always(async () => await (await shared).end());

async function refusal(work: Promise<unknown>): Promise<StatusError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

async function indexOf({ node }: Lone): Promise<readonly string[]> {
  const { models } = await call(node.backend, 'repositoryIndex', {});
  return models.map(({ name, version, state }) => `${name}/${version} ${state}`.trim());
}

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
  t.deepEqual(rows.outputs[0]?.shape, [2n, 4n]);
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

test('broken models are listed with their reason, the others serve', async (t) => {
  const whole = addModel(2);
  const lone = await serve(t, {
    'add/1/model.onnx': whole,
    'corrupt/1/model.onnx': whole.subarray(0, whole.length / 2),
    'operator/1/model.onnx': unknownOperatorModel(),
    'configless/config.pbtxt': 'max_batch_size: "many"',
    'configless/1/model.onnx': whole,
    'empty/readme.txt': 'nothing',
    'no model/1/model.onnx': whole,
  });
  t.deepEqual([...(await indexOf(lone))].sort(), [
    'add/1 READY',
    'configless/ UNAVAILABLE',
    'corrupt/1 UNAVAILABLE',
    'empty/ UNAVAILABLE',
    'no model/ UNAVAILABLE',
    'operator/1 UNAVAILABLE',
  ]);
  const { models } = await call(lone.node.backend, 'repositoryIndex', {});
  t.true(models.every(({ state, reason }) => (state === 'READY') === (reason === '')));
  t.regex(models.find(({ name }) => name === 'operator')?.reason ?? '', /NoSuchOperator/);
  const { models: up } = await call(lone.node.backend, 'repositoryIndex', { ready: true });
  t.deepEqual(
    up.map(({ name }) => name),
    ['add'],
  );
  const error = await refusal(infer(lone.node.backend, 'corrupt', []));
  t.is(error.message, "Request for unknown model: 'corrupt' has no available versions");
  t.deepEqual(floats(await infer(lone.node.backend, 'add', ONES)), [11, 22]);
});

test('links out of the repository are refused', async (t) => {
  const lone = await serve(t, { 'add/1/model.onnx': addModel(2) });
  const outside = join(lone.repository, '..', 'outside');
  await put(outside, '1/model.onnx', addModel(2));
  await symlink(outside, join(lone.repository, 'linked'));
  await mkdir(join(lone.repository, 'file', '1'), { recursive: true });
  await symlink(join(outside, '1/model.onnx'), join(lone.repository, 'file/1/model.onnx'));
  for (const modelName of ['linked', 'file']) {
    const error = await refusal(call(lone.node.backend, 'repositoryModelLoad', { modelName }));
    t.regex(error.message, /link that leads out of/);
  }
  const unknown = await refusal(
    call(lone.node.backend, 'repositoryModelLoad', { modelName: '../outside' }),
  );
  t.is(unknown.code, Code.INTERNAL);
  t.regex(unknown.message, /failed to poll from model repository/);
});

test('load and unload by call; a bad new content does not displace the old one', async (t) => {
  const lone = await serve(t, { 'add/1/model.onnx': addModel(2) });
  const { backend } = lone.node;
  const load = (modelName: string) => call(backend, 'repositoryModelLoad', { modelName });
  await put(lone.repository, 'late/1/model.onnx', identityModel('FP32', ['n', 1]));
  t.false((await call(backend, 'modelReady', { name: 'late' })).ready);
  await load('late');
  t.true((await call(backend, 'modelReady', { name: 'late' })).ready);

  await put(lone.repository, 'add/2/model.onnx', Buffer.from('this is no model'));
  const failed = await refusal(load('add'));
  t.is(failed.code, Code.INVALID_ARGUMENT);
  t.regex(failed.message, /^load failed for model 'add': version 2 is at UNAVAILABLE state: .+;$/);
  t.is((await infer(backend, 'add', ONES)).modelVersion, '1');

  await put(lone.repository, 'add/2/model.onnx', addModel(2));
  await utimes(join(lone.repository, 'add/2/model.onnx'), 1, 1);
  await load('add');
  t.is((await infer(backend, 'add', ONES)).modelVersion, '2');
  const up = (await indexOf(lone)).filter((line) => line.endsWith('READY'));
  t.deepEqual(up, ['add/2 READY', 'late/1 READY']);

  await call(backend, 'repositoryModelUnload', { modelName: 'late' });
  await call(backend, 'repositoryModelUnload', { modelName: 'nobody knows it' });
  t.false((await call(backend, 'modelReady', { name: 'late' })).ready);
  await load('late');
  t.true((await call(backend, 'modelReady', { name: 'late' })).ready);
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
