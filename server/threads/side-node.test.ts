// A node whose models run on a side thread too. Both threads' parts are in this one, with real
// ports between them.
import { MessageChannel } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { createMetrics, renderMetrics, snapshot } from '../../common/metrics.ts';
import { Code } from '../../common/status.ts';
import type { ModelInferResponse } from '../../proto/gen/inference/grpc_service.ts';
import { TensorProto } from '../../proto/gen/tensorflow/core/framework/tensor.ts';
import { PredictRequest } from '../../proto/gen/tensorflow_serving/apis/predict.ts';
import { fp32 } from '../../test/support/infer-requests.ts';
import { call, floats, infer } from '../../test/support/inference-client.ts';
import { refusal, start } from '../../test/support/lone-node.ts';
import { addModel } from '../../test/support/tiny-onnx.ts';
import type { Backend, MethodKind } from '../../transport/backend.ts';
import { serveThread } from '../../transport/handover/called-thread.ts';
import { callThread } from '../../transport/handover/calling-thread.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import { callOverPort, servePort } from '../../transport/port-calls.ts';
import { PREDICT } from '../services/tfs/serving.ts';
import { createSideNode } from './side-node.ts';
import { functionName, type InlinePlan } from './side-plan.ts';
import { SideThreads } from './side-threads.ts';

const ONES = [fp32('a', [1, 2], [1, 2]), fp32('b', [1, 2], [10, 20])];
const ID = 'n1';
const log = createLog({ role: 'node', level: 'silent' });

const config = (way: string, more = ''): string =>
  `max_batch_size: 8\n${more}
   parameters { key: "torus_execution" value { string_value: "${way}" } }`;

const FILES = {
  'here/1/model.onnx': addModel(2),
  'here/config.pbtxt': config('inline'),
  'there/1/model.onnx': addModel(2),
  'there/config.pbtxt': config('worker'),
};

/** The methods that calls came to the lead for, beside what they were answered with. */
function watched(backend: Backend, handed: string[]): Backend {
  return {
    methods: backend.methods,
    unary(one) {
      handed.push(one.path.split('/').at(-1) ?? '');
      backend.unary(one);
    },
    stream: (one) => backend.stream(one),
  };
}

async function scene(t: ExecutionContext, files: Record<string, Uint8Array | string> = FILES) {
  const [calls, functions] = [new MessageChannel(), new MessageChannel()];
  const threads = [callOverPort(functions.port1)];
  const sideThreads = new SideThreads({ id: ID, threads, log });
  servePort(functions.port1, sideThreads.functions);
  // What the lead says while it starts waits in the port.
  const starting = start(files, { sideThreads });
  const methods = new Map<string, MethodKind>();
  const metrics = createMetrics();
  const link = callThread(calls.port1);
  const side = createSideNode({
    ...{ id: ID, clock: systemClock, dateMs: () => 1_700_000_000_000, metrics, log },
    lead: link.backend(ID, methods),
    leadPort: callOverPort(functions.port2),
  });
  const keys: string[] = [];
  const load = functionName(ID, 'load');
  const loads = side.functions[load] as (plan: InlinePlan) => Promise<unknown>;
  servePort(functions.port2, {
    ...side.functions,
    [load]: async (plan: InlinePlan) => {
      keys.push(plan.key);
      return await loads(plan);
    },
  });
  const lead = await starting;
  for (const [path, kind] of lead.node.backend.methods) methods.set(path, kind);
  const handed: string[] = [];
  const called = serveThread(calls.port2, new Map([[ID, watched(lead.node.backend, handed)]]));
  t.teardown(async () => {
    await side.stop();
    await lead.end();
    link.close();
    called.close();
    functions.port1.close();
  });
  const shown = async (): Promise<string> =>
    await renderMetrics([await snapshot(lead.metrics), await snapshot(metrics)]);
  return { lead, side, sideThreads, keys, handed, shown };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Bytes as plain arrays: some come in Buffers. */
const plain = ({ rawOutputContents, ...rest }: ModelInferResponse): unknown => {
  return { ...rest, raw: rawOutputContents.map((bytes) => [...bytes]) };
};

async function predict(backend: Backend, name: string): Promise<Uint8Array> {
  const one = (values: readonly number[]): TensorProto =>
    TensorProto.fromPartial({
      dtype: 1,
      tensorShape: { dim: [{ size: 1n }, { size: 2n }] },
      floatVal: [...values],
    });
  const inputs = new Map([
    ['a', one([1, 2])],
    ['b', one([10, 20])],
  ]);
  const request = PredictRequest.fromPartial({ modelSpec: { name }, inputs });
  const bytes = PredictRequest.encode(request).finish();
  return (await invokeUnary(backend, PREDICT, bytes)).response;
}

test('inline models answer on the side thread, all else on the lead, the same', async (t) => {
  const { lead, side, handed, shown } = await scene(t);
  for (const model of ['here', 'there']) {
    for (let at = 0; at < 2; at += 1) {
      const [beside, led] = [
        await infer(side.backend, model, ONES, { id: 'x' }),
        await infer(lead.node.backend, model, ONES, { id: 'x' }),
      ];
      t.deepEqual(floats(beside), [11, 22]);
      t.deepEqual(plain(beside), plain(led));
    }
  }
  t.deepEqual(handed, ['ModelInfer', 'ModelInfer'], 'those for the model in a worker');
  for (const model of ['here', 'there']) {
    const [beside, led] = [
      await predict(side.backend, model),
      await predict(lead.node.backend, model),
    ];
    t.deepEqual(Buffer.compare(beside, led), 0);
  }
  t.is(handed.length, 3, 'so for TensorFlow Serving');
  t.is(handed.at(-1), 'Predict');
  const wrong = refusal(infer(side.backend, 'here', [fp32('a', [1, 2], [1, 2])]));
  t.is((await wrong).code, Code.INVALID_ARGUMENT);
  t.is(handed.length, 3);
  const unknown = await refusal(infer(side.backend, 'nobody', ONES));
  t.deepEqual(unknown, await refusal(infer(lead.node.backend, 'nobody', ONES)));

  for (const backend of [side.backend, lead.node.backend]) {
    const { modelStats } = await call(backend, 'modelStatistics', {});
    t.deepEqual(
      modelStats.map(({ name, inferenceCount }) => [name, inferenceCount]),
      [
        ['here', 6n],
        ['there', 6n],
      ],
    );
    t.is(modelStats[0]?.inferenceStats?.fail?.count, 1n);
    t.is(modelStats[0]?.batchStats.length, 1);
    t.is(modelStats[0]?.memoryUsage.length, 1);
  }
  const text = await shown();
  t.regex(text, /nv_inference_request_success\{model="here",version="1",node="n1"\} 6/);
  t.regex(text, /nv_inference_request_success\{model="there",version="1",node="n1"\} 6/);
  t.regex(text, /torus_model_way\{model="here",version="1",node="n1",way="inline"\} 1/);
});

test('an unloaded model is gone from all threads when it is gone', async (t) => {
  const { lead, side, handed } = await scene(t);
  await infer(side.backend, 'here', ONES);
  t.is(handed.length, 0);
  await call(side.backend, 'repositoryModelUnload', { modelName: 'here' });
  while ((await call(lead.node.backend, 'repositoryIndex', { ready: true })).models.length > 1) {
    await turn();
  }
  const error = await refusal(infer(side.backend, 'here', ONES));
  t.deepEqual(error, await refusal(infer(lead.node.backend, 'here', ONES)));
  t.is(error.code, Code.NOT_FOUND);
  await call(side.backend, 'repositoryModelLoad', { modelName: 'here' });
  handed.length = 0;
  t.deepEqual(floats(await infer(side.backend, 'here', ONES)), [11, 22]);
  t.deepEqual(handed, [], 'it was loaded on the side thread before it was READY');
});

test('a version of its own is found by its number, the newest by none', async (t) => {
  const { side, handed } = await scene(t, {
    'm/1/model.onnx': addModel(2),
    'm/2/model.onnx': addModel(2),
    'm/config.pbtxt': config('inline', 'version_policy { all {} }'),
  });
  for (const [version, expected] of [
    ['', '2'],
    ['1', '1'],
    ['2', '2'],
  ] as const) {
    t.is((await infer(side.backend, 'm', ONES, { version })).modelVersion, expected);
  }
  t.deepEqual(handed, []);
});

test('a model that has become slow leaves every thread for one worker', async (t) => {
  const { lead, side, sideThreads, keys, handed, shown } = await scene(t);
  await infer(side.backend, 'here', ONES);
  const [slow] = Object.values(sideThreads.functions);
  const tell = slow as (key: string, reason: string) => Promise<void>;
  await tell(keys[0] ?? '', 'most runs are slow');
  while (!(await shown()).includes('{model="here",version="1",node="n1",way="worker"} 1')) {
    await turn();
  }
  while (handed.length === 0)
    t.deepEqual(floats(await infer(side.backend, 'here', ONES)), [11, 22]);
  t.notRegex(await shown(), /model="here".*way="inline"/);
  const before = handed.length;
  await infer(side.backend, 'here', ONES);
  t.is(handed.length, before + 1);
  await infer(lead.node.backend, 'here', ONES);
});
