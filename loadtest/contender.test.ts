import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { nodeScript, startContender } from './contender.ts';
import { runCheckedCalls } from './measure/checked-calls.ts';
import { perceptronCheck } from './perceptron.ts';
import { TINY, tinyMlpRequest, writeTinyRepository } from './tiny-mlp.ts';

const ECHO = '/bench.Echo/Echo';
const INFER = '/inference.GRPCInferenceService/ModelInfer';
const CALLS = 5;

test('each server of the bench comes up, answers right, counts its calls and ends', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-contender-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await writeTinyRepository(folder);
  const message = tinyMlpRequest();
  const isSame = (answer: Buffer): boolean => answer.equals(message);
  for (const [script, args, path, isRight] of [
    ['rivals/grpcjs-echo.ts', [], ECHO, isSame],
    ['rivals/http2-echo.ts', [], ECHO, isSame],
    ['servers/echo.ts', [], ECHO, isSame],
    ['lone-node.ts', [folder], INFER, perceptronCheck(TINY)],
  ] as const) {
    const command = nodeScript(script, args);
    const contender = await startContender({ name: script, command });
    t.teardown(() => contender.stop());
    const { port } = contender;
    await runCheckedCalls({ name: script, port, path, message, isRight, calls: CALLS });
    t.deepEqual(await contender.ask('calls'), [CALLS], script);
    const [heapBytes = 0] = await contender.ask('heap');
    t.true(heapBytes > 1_000_000, script);
    if (process.platform === 'linux') {
      t.true(((await contender.cpuMs()) ?? 0) > 0, script);
      const { rssBytes, peakBytes } = await contender.memory();
      t.true(rssBytes > heapBytes && peakBytes > heapBytes, script);
    }
    await contender.stop();
  }
});

test('a contender that does not come up is told', async (t) => {
  const command = nodeScript('rivals/none.ts');
  await t.throwsAsync(startContender({ name: 'none', command }), { message: /none did not start/ });
});

test('a wrong answer ends the checked calls', async (t) => {
  const command = nodeScript('rivals/grpcjs-echo.ts');
  const contender = await startContender({ name: 'echo', command });
  t.teardown(() => contender.stop());
  const call = {
    name: 'echo',
    port: contender.port,
    path: ECHO,
    message: Buffer.from('a'),
    calls: 2,
  };
  await t.throwsAsync(runCheckedCalls({ ...call, isRight: () => false }), { message: /wrong/ });
  const other = { ...call, path: '/bench.Echo/Other', isRight: () => true };
  await t.throwsAsync(runCheckedCalls(other), { message: /ended with UNIMPLEMENTED/ });
});
