import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { Code, Overloaded, StatusError } from '../common/status.ts';
import {
  type AwaitedRequest,
  floatsOf,
  fp32,
  int64,
  requestOf,
} from '../test/support/infer-requests.ts';
import {
  addModel,
  gatherModel,
  identityModel,
  slowModel,
  sumOfAllModel,
} from '../test/support/tiny-onnx.ts';
import type { EngineInstance } from './engines/engine.ts';
import { createLoadModel, onnxInstances, type StartInstance } from './engines/load-model.ts';
import { encodeStrings } from './engines/onnx/string-tensors.ts';
import { SpareThreads } from './engines/onnx/thread.ts';
import type { LoadedModel, LoadModelOptions, ModelFailure } from './loaded-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'torus-loaded-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function load(
  bytes: Uint8Array,
  options: Partial<LoadModelOptions> = {},
  start?: StartInstance,
): Promise<LoadedModel> {
  const modelPath = join(folder, `model-${files++}.onnx`);
  writeFileSync(modelPath, bytes);
  return createLoadModel(start)({ model: 'tiny', version: 1, modelPath, ...options });
}

function sum(row: number, rows = 1): AwaitedRequest {
  const values = Array.from({ length: rows }, (_, i) => row + i);
  return requestOf([fp32('a', [rows, 1], values), fp32('b', [rows, 1], values)], rows);
}

test('200 requests at once of various sizes get their own rows, in shared runs', async (t) => {
  const runs: number[] = [];
  const totals: number[] = [];
  const model = await load(addModel(1), {
    maxBatchSize: 32,
    instanceCount: 2,
    observer: {
      batchDone: (_, { batchRows }) => runs.push(batchRows),
      requestsSucceeded: (count, totalNs) => totals.push(...Array(count).fill(totalNs)),
    },
  });
  t.is(model.instanceCount, 2);
  t.true(model.memoryBytes > 0);
  const requests = Array.from({ length: 200 }, (_, i) => sum(i * 10, 1 + ((i * 7) % 5)));
  for (const request of requests) model.submit(request);
  t.is(model.inFlight, 200);
  for (const [i, request] of requests.entries()) {
    const { error, outputs, timings } = await request.answer;
    t.is(error, undefined);
    const expected = Array.from({ length: request.rows }, (_, row) => 2 * (i * 10 + row));
    t.deepEqual(floatsOf(outputs[0]), expected);
    t.deepEqual(outputs[0]?.shape, [request.rows, 1]);
    t.true((timings?.batchRows ?? 0) >= request.rows && (timings?.batchRows ?? 99) <= 32);
    t.true((timings?.queueNs ?? -1) >= 0 && (timings?.computeInferNs ?? 0) > 0);
    t.is(request.answers(), 1);
  }
  const total = requests.reduce((rows, request) => rows + request.rows, 0);
  t.is(
    runs.reduce((rows, run) => rows + run, 0),
    total,
  );
  t.is(totals.length, 200);
  t.true(total / runs.length > 4, `mean batch ${total / runs.length}`);
  t.is(model.inFlight, 0);
  await model.stop();
  t.is(model.state, 'STOPPED');
});

test('requests of different inner shapes never share a run', async (t) => {
  const model = await load(identityModel('FP32', ['batch', 'width']), { maxBatchSize: 8 });
  const requests = Array.from({ length: 30 }, (_, i) => {
    const width = 1 + (i % 3);
    return requestOf([fp32('x', [1, width], Array(width).fill(i))], 1);
  });
  for (const request of requests) model.submit(request);
  for (const request of requests) {
    const { outputs, timings } = await request.answer;
    t.deepEqual(outputs[0]?.shape, request.inputs[0]?.shape);
    t.deepEqual(outputs[0]?.bytes, request.inputs[0]?.bytes);
    t.true([8, 2].includes(timings?.batchRows ?? 0), 'ten of each width: 8 and 2');
  }
  await model.stop();
});

test('texts are split by rows, and a text that can not be carried fails alone', async (t) => {
  const model = await load(identityModel('BYTES', ['batch', 2]), { maxBatchSize: 8 });
  const texts = (rows: number, ...values: (string | Uint8Array)[]) => {
    const parts = values.map((value) => {
      const bytes = Buffer.from(value);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return Buffer.concat([length, bytes]);
    });
    const x = {
      name: 'x',
      datatype: 'BYTES',
      shape: [rows, 2],
      bytes: Buffer.concat(parts),
    } as const;
    return requestOf([x], rows);
  };
  const good = texts(1, 'grüße', '');
  const broken = texts(1, 'a', Uint8Array.of(0xff));
  const cut = texts(1, 'a\0b', 'c');
  const short = texts(1, 'a');
  const last = texts(2, 'one', 'two', 'three', '😀');
  for (const request of [good, broken, cut, short, last]) model.submit(request);
  t.deepEqual(
    Buffer.from((await good.answer).outputs[0]?.bytes ?? []),
    encodeStrings(['grüße', '']),
  );
  t.is((await good.answer).timings?.batchRows, 3);
  t.deepEqual((await last.answer).outputs[0]?.bytes.length, 4 * 4 + 3 + 3 + 5 + 4);
  for (const [request, reason] of [
    [broken, /element 1 of input 'x' is not valid UTF-8/],
    [cut, /element 0 of input 'x' holds a zero byte/],
    [short, /holds 1 elements, its shape \[1,2\] needs 2/],
  ] as const) {
    const { error } = await request.answer;
    t.is(error?.code, Code.INVALID_ARGUMENT);
    t.regex(error?.message ?? '', reason);
  }
  await model.stop();
});

test('late, cancelled and surplus requests are answered at once, and never run', async (t) => {
  const clock = new VirtualClock();
  const failed: string[] = [];
  let rowsRun = 0;
  const model = await load(addModel(1), {
    maxBatchSize: 4,
    maxQueueDelayUs: 50_000,
    maxQueueSize: 3,
    clock,
    observer: {
      requestFailed: (reason) => failed.push(reason),
      batchDone: (_, { batchRows }) => {
        rowsRun += batchRows;
      },
    },
  });
  const late: AwaitedRequest = { ...sum(1), deadlineMs: 20 };
  const past: AwaitedRequest = { ...sum(1), deadlineMs: 0 };
  const [cancelled, kept] = [sum(2), sum(3)];
  for (const request of [late, past, cancelled, kept]) model.submit(request);
  t.is((await past.answer).error?.code, Code.DEADLINE_EXCEEDED);
  model.cancel(cancelled);
  model.cancel(cancelled);
  t.is((await cancelled.answer).error?.code, Code.CANCELLED);
  await turn();
  clock.advance(20);
  t.is((await late.answer).error?.code, Code.DEADLINE_EXCEEDED);
  clock.advance(30);
  t.deepEqual(floatsOf((await kept.answer).outputs[0]), [6]);
  t.is(rowsRun, 1, 'only the one that was kept');
  t.deepEqual(failed, ['TIMEOUT', 'CANCELED', 'TIMEOUT']);
  const tooMany = sum(4, 5);
  model.submit(tooMany);
  t.is((await tooMany.answer).error?.code, Code.INVALID_ARGUMENT);
  const queued = sum(7);
  model.submit(queued);
  await model.stop();
  t.deepEqual(floatsOf((await queued.answer).outputs[0]), [14], 'stopping does not wait longer');
  const after = sum(5);
  model.submit(after);
  t.is((await after.answer).error?.code, Code.UNAVAILABLE);
});

test('what would come too late is refused at once, and told when to come again', async (t) => {
  const clock = new VirtualClock();
  const shed: string[] = [];
  const observer = { requestShed: (reason: string) => void shed.push(reason) };
  const model = await load(addModel(1), { maxBatchSize: 1, clock, observer });
  const before = Array.from({ length: 100 }, (_, at) => sum(at));
  for (const request of before) model.submit(request);
  await before[0]?.answer;
  // 99 are still to run, and each takes longer than this one has.
  const late = requestOf(sum(3).inputs, 1, 1e-4);
  const patient = sum(4);
  model.submit(late);
  model.submit(patient);
  const { error } = await late.answer;
  t.true(error instanceof Overloaded && error.retryAfterMs >= 1);
  t.is(error?.code, Code.UNAVAILABLE);
  t.regex(error?.message ?? '', /no compute was spent/);
  t.deepEqual(floatsOf((await patient.answer).outputs[0]), [8]);
  t.deepEqual(shed, ['deadline']);
  await model.stop();
});

test('a full queue refuses in known words; stopping runs what is queued', async (t) => {
  const clock = new VirtualClock();
  const model = await load(addModel(1), { maxBatchSize: 2, maxQueueSize: 2, clock });
  const requests = Array.from({ length: 6 }, (_, i) => sum(i));
  for (const request of requests) model.submit(request);
  const stopped = model.stop();
  const answers = await Promise.all(requests.map(({ answer }) => answer));
  const refused = answers.filter(({ error }) => error !== undefined);
  t.is(refused.length, 2, 'two run, two wait');
  for (const { error } of refused) {
    t.is(error?.code, Code.UNAVAILABLE);
    t.is(error?.message, 'Exceeds maximum queue size');
  }
  await stopped;
  t.is(model.state, 'STOPPED');
});

test('a run that fails is told to its requests only, and the model serves on', async (t) => {
  const model = await load(gatherModel(3), { maxBatchSize: 4 });
  const bad = requestOf([int64('index', [1, 1], [9n])], 1);
  model.submit(bad);
  t.is((await bad.answer).error?.code, Code.INTERNAL);
  const good = requestOf([int64('index', [1, 1], [2n])], 1);
  model.submit(good);
  t.deepEqual(floatsOf((await good.answer).outputs[0]), [20]);
  await model.stop();
});

test('a model without batching runs each request alone, in its own shape', async (t) => {
  const model = await load(identityModel('FP32', [2, 3]));
  t.is(model.maxBatchSize, 0);
  const requests = [1, 2].map((value) => requestOf([fp32('x', [2, 3], Array(6).fill(value))], 1));
  for (const request of requests) model.submit(request);
  for (const request of requests) {
    const { outputs } = await request.answer;
    t.deepEqual(outputs[0]?.shape, [2, 3]);
    t.deepEqual(outputs[0]?.bytes, request.inputs[0]?.bytes);
  }
  await model.stop();
});

test('models that can not be batched are refused at load, and so are odd options', async (t) => {
  const refused = async (bytes: Uint8Array, options: Partial<LoadModelOptions>, reason: RegExp) => {
    const error = await t.throwsAsync(load(bytes, options), { instanceOf: StatusError });
    t.is(error.code, Code.INVALID_ARGUMENT);
    t.regex(error.message, reason);
  };
  await refused(identityModel('FP32', [2, 3]), { maxBatchSize: 4 }, /'x' \[2,3\] is not open/);
  await refused(sumOfAllModel(), { maxBatchSize: 4 }, /runs with 1 row but not .* shape \[1,2\]/);
  await refused(addModel(1), { instanceCount: 0 }, /instanceCount must be .* at least 1/);
  await refused(addModel(1), { maxBatchSize: 4, preferredBatchSizes: [9] }, /9 is not from 1 to 4/);
  const error = await t.throwsAsync(
    createLoadModel()({ model: 'm', version: 1, modelPath: join(folder, 'none.onnx') }),
    { instanceOf: StatusError },
  );
  t.is(error.code, Code.NOT_FOUND);
  const sumOfAll = await load(sumOfAllModel());
  t.deepEqual(sumOfAll.outputs[0]?.shape, [1, 2], 'without batching it serves');
  await sumOfAll.stop();
});

test('a model that refuses zeros is told of, and serves', async (t) => {
  const told: string[] = [];
  const observer = { warmUpFailed: (reason: string) => told.push(reason) };
  const model = await load(gatherModel(3, 10), { maxBatchSize: 4, observer });
  t.is(told.length, 1);
  t.regex(told[0] ?? '', /idx=-10/);
  const request = requestOf([int64('index', [1, 1], [11n])], 1);
  model.submit(request);
  t.deepEqual(floatsOf((await request.answer).outputs[0]), [10]);
  await model.stop();
});

/** Keeps hold of the instances, to see them end. */
function watched(workerUrl?: URL) {
  const instances: EngineInstance[] = [];
  const startInstance = onnxInstances(new SpareThreads(workerUrl));
  const start: StartInstance = async (options) => {
    const instance = await startInstance(options);
    instances.push(instance);
    return instance;
  };
  return { instances, start };
}

test('a thread that ends is replaced; ending again and again fails the model', async (t) => {
  const { start } = watched(new URL('../test/support/dying-worker.ts', import.meta.url));
  const clock = new VirtualClock();
  let replaced = () => {};
  let failed: ModelFailure | undefined;
  const model = await load(
    identityModel('INT64', ['batch', 1]),
    {
      maxBatchSize: 2,
      clock,
      observer: { instanceReplaced: () => replaced() },
      onFailed: (failure) => {
        failed = failure;
      },
    },
    start,
  );
  const send = (value: bigint) => {
    const request = requestOf([int64('x', [1, 1], [value])], 1);
    model.submit(request);
    return request.answer;
  };
  const fall = async () => {
    const gone = new Promise<void>((resolve) => {
      replaced = resolve;
    });
    const { error } = await send(66n);
    t.is(error?.code, Code.UNAVAILABLE);
    await gone;
    await turn();
  };
  for (let round = 0; round < 2; round++) {
    await fall();
    const waiting = send(5n);
    clock.advance(10_000);
    t.deepEqual((await waiting).outputs[0]?.shape, [1, 1], 'served by the next thread');
  }
  for (let inARow = 0; inARow < 5; inARow++) {
    await fall();
    clock.advance(10_000);
  }
  t.is(failed?.kind, 'CRASH_LOOP');
  t.is(model.state, 'FAILED');
  t.is((await send(1n)).error?.code, Code.UNAVAILABLE);
  await model.stop();
});

test('a run past maxRunMs fails the model; its thread ends by itself afterwards', async (t) => {
  const { instances, start } = watched();
  const clock = new VirtualClock();
  const failures: ModelFailure[] = [];
  const options = {
    maxBatchSize: 1,
    maxRunMs: 1000,
    clock,
    onFailed: (failure: ModelFailure) => failures.push(failure),
  };
  const model = await load(slowModel(200), options, start);
  const requests = [1, 2].map((value) => requestOf([fp32('x', [1, 1], [value])], 1));
  for (const request of requests) model.submit(request);
  // In the same phase as the decision: whatever the run takes, its answer can't be heard before.
  await new Promise((resolve) => setImmediate(resolve));
  clock.advance(999);
  t.is(model.state, 'READY');
  clock.advance(1);
  t.is(model.state, 'FAILED');
  for (const request of requests) {
    const { error } = await request.answer;
    t.is(error?.code, Code.UNAVAILABLE);
    t.regex(error?.message ?? '', /longer than max_run_ms 1000/);
  }
  t.deepEqual(
    failures.map(({ kind }) => kind),
    ['HUNG_RUN'],
  );
  await model.stop();
  await instances[0]?.ended;
  t.deepEqual(
    requests.map((request) => request.answers()),
    [1, 1],
  );
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
