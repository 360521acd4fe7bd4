import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { fp32, requestOf } from '../../test/support/infer-requests.ts';
import { addModel } from '../../test/support/tiny-onnx.ts';
import { armed, DEATH_MEMORY_MS, foundAtStart, type Marker, quarantineReason } from './deaths.ts';
import { createLoadModel } from './load-model.ts';
import { markersOf, Quarantine } from './marker.ts';

const folder = mkdtempSync(join(tmpdir(), 'torus-marker-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

test('three deaths in a row put a version into quarantine; other starts do not count', (t) => {
  let marker: Marker | undefined;
  const suspect = { model: 'm', version: 7, manifestSha256: 'a' };
  for (let death = 1; death <= 3; death++) {
    marker = foundAtStart(armed(suspect, marker), death);
    t.is(marker?.deaths, death);
    t.is(quarantineReason(marker) !== undefined, death === 3);
    marker = marker && foundAtStart(marker, death);
    t.is(marker?.deaths, death, 'not armed: nobody died of it');
  }
  t.is(armed({ ...suspect, manifestSha256: 'b' }, marker).deaths, 0, 'another content');
  t.is(marker && foundAtStart(marker, 4 + DEATH_MEMORY_MS), undefined, 'long ago');
  t.is(quarantineReason(undefined), undefined);
});

const MODEL_PATH = join(folder, 'model.onnx');
writeFileSync(MODEL_PATH, addModel(1));

/** Loads the model in a process of its own, which aborts in the middle as native code would. */
async function dieLoading(markers: string): Promise<NodeJS.Signals | null> {
  const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const program = `
    import { createLoadModel } from ${url('./load-model.ts')};
    import { Quarantine } from ${url('./marker.ts')};
    const quarantine = await Quarantine.open(${JSON.stringify(markers)});
    const loadModel = createLoadModel(() => process.abort());
    const modelPath = ${JSON.stringify(MODEL_PATH)};
    await loadModel({ model: 'm', version: 7, modelPath, quarantine });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: folder,
  });
  return new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)));
}

test('a process that dies in a load is remembered; the third time is the last', async (t) => {
  const markers = join(folder, 'markers');
  const loadModel = createLoadModel();
  for (let death = 1; death <= 2; death++) t.is(await dieLoading(markers), 'SIGABRT');
  const options = { model: 'm', version: 7, modelPath: MODEL_PATH };
  const afterTwo = await Quarantine.open(markers);
  t.is(afterTwo.reasonFor('m', 7), undefined);
  t.is(await dieLoading(markers), 'SIGABRT');

  const quarantine = await Quarantine.open(markers);
  const error = await t.throwsAsync(loadModel({ ...options, quarantine }), {
    instanceOf: StatusError,
  });
  t.is(error.code, Code.FAILED_PRECONDITION);
  t.regex(error.message, /'m' version 7 is in quarantine: 3 times/);
  t.is(quarantine.reasonFor('m', 8), undefined, 'other versions are not to blame');

  await quarantine.clear('m', 7);
  const model = await loadModel({ ...options, quarantine });
  await model.stop();
  t.deepEqual(readdirSync(markers), [], 'a load that ends well leaves no marker');
});

test('a first run is marked until it is survived; so long what was before counts', async (t) => {
  const markers = join(folder, 'markers-of-runs');
  for (let death = 1; death <= 2; death++) {
    const quarantine = await Quarantine.open(markers);
    await quarantine.arm('m', 1);
    await quarantine.disarm('m', 1);
    quarantine.armNow('m', 1);
    t.is(readdirSync(markers).length, 1);
    const next = await Quarantine.open(markers);
    t.deepEqual(
      next.deaths().map(({ deaths }) => deaths),
      [death],
      'nobody cleared it: the process has ended',
    );
  }
  const quarantine = await Quarantine.open(markers);
  const own = markersOf(quarantine, '');
  const modelPath = join(folder, 'add.onnx');
  writeFileSync(modelPath, addModel(1));
  const loaded = await createLoadModel()({ model: 'm', version: 1, modelPath, quarantine: own });
  t.is(quarantine.deaths()[0]?.deaths, 2, 'a load alone proves nothing');
  const request = requestOf([fp32('a', [1, 1], [1]), fp32('b', [1, 1], [2])], 1);
  loaded.submit(request);
  await request.answer;
  while (readdirSync(markers).length > 0) await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(quarantine.deaths(), []);
  await loaded.stop();
});

test('a load that fails with an error of its own leaves no marker', async (t) => {
  const markers = join(folder, 'markers-of-errors');
  const quarantine = await Quarantine.open(markers);
  const modelPath = join(folder, 'broken.onnx');
  writeFileSync(modelPath, 'not a model');
  await t.throwsAsync(createLoadModel()({ model: 'm', version: 1, modelPath, quarantine }));
  t.deepEqual(readdirSync(markers), []);
  t.is(quarantine.reasonFor('m', 1), undefined);
});

test('what is no marker is swept away; a folder that can not be made is an error', async (t) => {
  const markers = join(folder, 'markers-of-others');
  const first = await Quarantine.open(markers);
  await first.arm('m', 1);
  const [name = ''] = readdirSync(markers);
  t.regex(name, /^[0-9a-f]{64}\.json$/, 'named by hash');
  writeFileSync(join(markers, name), '{"model":');
  writeFileSync(join(markers, `${name}.new`), 'half');
  const quarantine = await Quarantine.open(markers);
  t.is(quarantine.reasonFor('m', 1), undefined);
  t.deepEqual(readdirSync(markers), []);

  const blocked = join(folder, 'file');
  writeFileSync(blocked, '');
  await t.throwsAsync(Quarantine.open(join(blocked, 'markers')), { instanceOf: StatusError });
  t.true(existsSync(blocked));
});
