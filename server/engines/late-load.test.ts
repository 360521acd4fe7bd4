// A load that takes longer than it may keeps its thread, which nobody can take back.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { VirtualClock } from '../../common/clock.ts';
import { Code, StatusError } from '../../common/status.ts';
import { addModel } from '../../test/support/tiny-onnx.ts';
import type { EngineInstance } from './engine.ts';
import { createLoadModel, onnxInstances } from './load-model.ts';
import { Quarantine } from './marker.ts';

const folder = mkdtempSync(join(tmpdir(), 'torus-late-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a load past its limit is given up; others go on, and what it made is stopped', async (t) => {
  const markers = mkdtempSync(join(folder, 'markers-'));
  const quarantine = await Quarantine.open(markers);
  const clock = new VirtualClock();
  let goOn = () => {};
  const waiting = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const instances: EngineInstance[] = [];
  const start = onnxInstances();
  let starts = 0;
  const loadModel = createLoadModel(async (options) => {
    if (starts++ === 0) await waiting;
    const instance = await start(options);
    instances.push(instance);
    return instance;
  });
  const modelPath = join(folder, 'slow-to-load.onnx');
  writeFileSync(modelPath, addModel(1));
  const freed: Promise<void>[] = [];
  const onBusy = (whenFree: Promise<void>) => void freed.push(whenFree);
  const options = { model: 'm', version: 1, modelPath, maxLoadMs: 50, clock, quarantine, onBusy };
  const slow = loadModel(options);
  const next = loadModel({ ...options, version: 2 });
  while (starts === 0) await turn();
  clock.advance(50);
  const error = await t.throwsAsync(slow, { instanceOf: StatusError });
  t.is(error.code, Code.DEADLINE_EXCEEDED);
  const model = await next;
  t.is(model.version, 2);

  const again = await t.throwsAsync(loadModel(options), { message: /keeps a thread busy/ });
  t.is((again as StatusError).code, Code.UNAVAILABLE);
  t.deepEqual([starts, freed.length], [2, 2], 'no second thread for it');
  t.is(readdirSync(markers).length, 1, 'a death of the process would be its fault');

  goOn();
  await Promise.all(freed);
  t.is(await instances[1]?.ended, undefined);
  t.deepEqual(readdirSync(markers), []);
  const late = await loadModel(options);
  t.is(late.state, 'READY');
  await Promise.all([model.stop(), late.stop()]);
});
