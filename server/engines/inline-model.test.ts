import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { VirtualClock } from '../../common/clock.ts';
import { Code } from '../../common/status.ts';
import {
  type AwaitedRequest,
  floatsOf,
  fp32,
  requestOf,
} from '../../test/support/infer-requests.ts';
import { addModel } from '../../test/support/tiny-onnx.ts';
import type { LoadedModel } from '../loaded-model.ts';
import type { EngineInstance } from './engine.ts';
import { createLoadModel, onnxInstances, type StartInstance } from './load-model.ts';
import { startInlineInstance } from './onnx/inline.ts';

const folder = mkdtempSync(join(tmpdir(), 'torus-inline-model-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

function sum(row: number, rows = 1): AwaitedRequest {
  const values = Array.from({ length: rows }, (_, i) => row + i);
  return requestOf([fp32('a', [rows, 1], values), fp32('b', [rows, 1], values)], rows);
}

/** Keeps hold of the workers, to see them end. */
function watched() {
  const instances: EngineInstance[] = [];
  const startInstance = onnxInstances();
  const start: StartInstance = async (options) => {
    const instance = await startInstance(options);
    instances.push(instance);
    return instance;
  };
  return { instances, start };
}

/** A hundred requests of various sizes; each must get its own sums. */
async function serveMany(t: ExecutionContext, model: LoadedModel): Promise<void> {
  const requests = Array.from({ length: 100 }, (_, i) => sum(i * 10, 1 + ((i * 7) % 5)));
  for (const request of requests) model.submit(request);
  for (const [i, request] of requests.entries()) {
    const expected = Array.from({ length: request.rows }, (_, row) => 2 * (i * 10 + row));
    t.deepEqual(floatsOf((await request.answer).outputs[0]), expected);
    t.is(request.answers(), 1);
  }
}

for (const [way, path] of [
  ['inline', 'binding'],
  ['inline_public', 'public'],
] as const) {
  test(`${way}: requests of one turn share runs, and the rest is as in a worker`, async (t) => {
    const { instances, start } = watched();
    const modelPath = join(folder, `${way}.onnx`);
    writeFileSync(modelPath, addModel(1));
    const runs: number[] = [];
    const failed: string[] = [];
    const model = await createLoadModel(start, {
      startInline: (options) => startInlineInstance(options, path),
      execution: 'inline',
    })({
      ...{ model: 'm', version: 1, modelPath, maxBatchSize: 32, maxQueueSize: 100 },
      observer: {
        batchDone: (_, { batchRows }) => runs.push(batchRows),
        requestFailed: (reason) => failed.push(reason),
      },
    });
    t.is(model.way, way);
    t.is(await instances[0]?.ended, undefined, 'the worker that it was tried in is free');
    await serveMany(t, model);
    const rows = runs.reduce((all, run) => all + run, 0);
    t.true(rows / runs.length > 20, `mean batch ${rows / runs.length}`);
    const [late, cancelled, kept] = [sum(1), sum(2), sum(3)];
    model.submit({ ...late, deadlineMs: 0 });
    model.submit(cancelled);
    model.submit(kept);
    model.cancel(cancelled);
    t.is((await late.answer).error?.code, Code.DEADLINE_EXCEEDED);
    t.is((await cancelled.answer).error?.code, Code.CANCELLED);
    t.deepEqual(floatsOf((await kept.answer).outputs[0]), [6]);
    t.deepEqual(failed, ['TIMEOUT', 'CANCELED']);
    const queued = sum(7);
    model.submit(queued);
    await model.stop();
    t.deepEqual(floatsOf((await queued.answer).outputs[0]), [14]);
    t.is(model.inFlight, 0);
  });
}

test("'auto' takes a cheap model inline, and to a worker once it is slow", async (t) => {
  const { instances, start } = watched();
  const modelPath = join(folder, 'auto.onnx');
  writeFileSync(modelPath, addModel(1));
  const options = { model: 'm', version: 1, modelPath, maxBatchSize: 32 };
  let runNs = 1_000;
  const loadModel = createLoadModel(
    async (given) => {
      // Whatever this machine does meanwhile.
      const instance = await start(given);
      return withRunNs(instance, () => 1_000);
    },
    { startInline: async (given) => withRunNs(await startInlineInstance(given), () => runNs) },
  );
  const unknown = await loadModel(options);
  t.is(unknown.way, 'worker', 'nobody said that its cost is fixed');
  await unknown.stop();
  const chosen: string[] = [];
  const model = await loadModel({
    ...options,
    version: 2,
    hasFixedCost: true,
    observer: { wayChosen: (way, reason) => chosen.push(`${way}: ${reason}`) },
  });
  t.is(model.way, 'inline');
  await serveMany(t, model);
  t.is(model.way, 'inline');
  runNs = 10_000_000;
  while (model.way === 'inline') await serveMany(t, model);
  await serveMany(t, model);
  t.deepEqual(chosen, ['inline: ', 'worker: most runs took more than 600 us']);
  await model.stop();
  for (const instance of instances) t.is(await instance.ended, undefined);
});

test('a request that comes while others wait for company is as old as it is', async (t) => {
  const clock = new VirtualClock();
  const modelPath = join(folder, 'waits.onnx');
  writeFileSync(modelPath, addModel(1));
  const model = await createLoadModel()({
    ...{ model: 'm', version: 1, modelPath, maxBatchSize: 8, maxQueueDelayUs: 500, clock },
    execution: 'inline',
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const [early, late] = [sum(1), sum(2)];
  model.submit(early);
  await turn();
  clock.advance(0.2);
  await turn();
  model.submit(late);
  clock.advance(0.3);
  const [first, second] = [await early.answer, await late.answer];
  t.is(Math.round(first.timings?.queueNs ?? 0), 500_000);
  t.is(Math.round(second.timings?.queueNs ?? 0), 300_000);
  t.is(second.timings?.batchRows, 2);
  await model.stop();
});

test('a model that stops while it moves to a worker leaves no thread behind', async (t) => {
  const { instances, start } = watched();
  const modelPath = join(folder, 'moves.onnx');
  writeFileSync(modelPath, addModel(1));
  const loadModel = createLoadModel(
    async (options) => withRunNs(await start(options), () => 1_000),
    { startInline: async (given) => withRunNs(await startInlineInstance(given), () => 1e8) },
  );
  const options = { model: 'm', version: 1, modelPath, maxBatchSize: 1, hasFixedCost: true };
  const model = await loadModel(options);
  t.is(model.way, 'inline');
  const requests = Array.from({ length: 20 }, (_, i) => sum(i));
  for (const request of requests) model.submit(request);
  for (const request of requests) await request.answer;
  await model.stop();
  while (instances.length < 2) await new Promise((resolve) => setImmediate(resolve));
  for (const instance of instances) t.is(await instance.ended, undefined);
});

/** Says that its runs, and its load, took as long as told. */
function withRunNs(instance: EngineInstance, runNs: () => number): EngineInstance {
  return {
    inputs: instance.inputs,
    outputs: instance.outputs,
    way: instance.way,
    loadMs: 1,
    ended: instance.ended,
    run: (batch, done) =>
      instance.run(batch, (outcome) => done(outcome.ok ? { ...outcome, runNs: runNs() } : outcome)),
    stop: () => instance.stop(),
  };
}
