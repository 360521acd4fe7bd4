import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { startContender } from './contender.ts';
import { openLoadClient } from './grpc-client.ts';
import { tinyMlpRequest, writeTinyRepository } from './tiny-mlp.ts';

test('each contender of the bench comes up, answers, tells its CPU time and ends', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-contender-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await writeTinyRepository(folder);
  const infer = '/inference.GRPCInferenceService/ModelInfer';
  for (const [script, args, path] of [
    ['rivals/grpcjs-echo.ts', [], '/bench.Echo/Echo'],
    ['lone-node.ts', [folder], infer],
  ] as const) {
    const contender = await startContender(script, script, args);
    t.teardown(() => contender.stop());
    const client = openLoadClient({ address: `127.0.0.1:${contender.port}`, connections: 1 });
    const code = await new Promise((resolve) =>
      client.call(path, tinyMlpRequest(), 10_000, (status) => resolve(status)),
    );
    client.close();
    t.is(code, 0, script);
    if (process.platform === 'linux') t.true(((await contender.cpuMs()) ?? 0) > 0, script);
    await contender.stop();
  }
});

test('a contender that does not come up is told', async (t) => {
  await t.throwsAsync(startContender('none', 'rivals/none.ts'), { message: /none did not start/ });
});
