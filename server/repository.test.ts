// A model repository that is broken, attacked or changed while its node serves.
import { mkdir, rm, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Code } from '../common/status.ts';
import { externalDataModel } from '../test/support/foreign-onnx.ts';
import { fp32 } from '../test/support/infer-requests.ts';
import { call, floats, infer } from '../test/support/inference-client.ts';
import { type Lone, put, refusal, serve } from '../test/support/lone-node.ts';
import { addModel, identityModel, unknownOperatorModel } from '../test/support/tiny-onnx.ts';

const ONES = [fp32('a', [1, 2], [1, 2]), fp32('b', [1, 2], [10, 20])];

async function indexOf({ node }: Lone): Promise<readonly string[]> {
  const { models } = await call(node.backend, 'repositoryIndex', {});
  return models.map(({ name, version, state }) => `${name}/${version} ${state}`.trim());
}

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

test('links and external data out of the folder are refused', async (t) => {
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
  await put(lone.repository, 'up/weights.bin', new Uint8Array(8));
  await put(lone.repository, 'up/1/model.onnx', externalDataModel('../weights.bin'));
  await put(lone.repository, 'away/1/model.onnx', externalDataModel('weights.bin'));
  await symlink(
    join(lone.repository, 'up/weights.bin'),
    join(lone.repository, 'away/1/weights.bin'),
  );
  for (const modelName of ['up', 'away']) {
    const error = await refusal(call(lone.node.backend, 'repositoryModelLoad', { modelName }));
    t.is(error.code, Code.INVALID_ARGUMENT);
    t.regex(error.message, /inside|leads out of|folder/);
  }
  await rm(join(lone.repository, 'away/1/weights.bin'));
  await put(lone.repository, 'away/1/weights.bin', new Uint8Array(Float32Array.of(2, 3).buffer));
  await call(lone.node.backend, 'repositoryModelLoad', { modelName: 'away' });
  const product = await infer(lone.node.backend, 'away', [fp32('x', [1, 2], [10, 100])]);
  t.deepEqual(floats(product), [320]);
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
