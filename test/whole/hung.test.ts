// A run that never ends cannot be contained in a thread: the process ends, and the next one serves.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'ava';
import { outsideClient } from '../support/outside-client.ts';
import { endlessModel, identityModel, slowModel } from '../support/tiny-onnx.ts';
import { dataFolder, startTorus, torus } from '../support/torus-process.ts';

/** Side of the matrices that keep a run busy for longer than any test. */
const BUSY_SIDE = 4_096n;

async function writeModel(folder: string, name: string, onnx: Uint8Array, config: string) {
  await mkdir(join(folder, name, '1'), { recursive: true });
  await writeFile(join(folder, name, '1', 'model.onnx'), onnx);
  await writeFile(join(folder, name, 'config.pbtxt'), config);
}

function infer(client: ReturnType<typeof outsideClient>, model: string, x: bigint) {
  const contents = { int64_contents: [String(x)] };
  const inputs = [{ name: 'x', datatype: 'INT64', shape: [1], contents }];
  return client.call('ModelInfer', { model_name: model, inputs });
}

test('a run past max_run_ms fails its call and ends the process, which starts again', async (t) => {
  const data = await dataFolder(t);
  const folder = join(dirname(data), 'models');
  const limit = 'parameters { key: "torus_max_run_ms" value { string_value: "500" } }';
  await writeModel(folder, 'endless', endlessModel(100), `max_batch_size: 0\n${limit}`);
  await writeModel(folder, 'good', identityModel('INT64', [1]), 'max_batch_size: 0');
  const first = await startTorus({ data, flags: ['--model-repository', folder] });
  t.teardown(async () => void (await first.end('SIGKILL')));
  await first.sees(/: 2 imported/);
  const client = outsideClient(first.grpc);
  t.teardown(() => client.close());
  t.is((await infer(client, 'endless', 0n)).model_version, '1');
  await t.throwsAsync(infer(client, 'endless', BUSY_SIDE), {
    message: /UNAVAILABLE.*max_run_ms 500/,
  });
  t.not(await first.ended, 0);
  t.regex(first.stderr(), /the process has to end/);

  const second = await startTorus({ data });
  t.teardown(async () => void (await second.end('SIGKILL')));
  const again = outsideClient(second.grpc);
  t.teardown(() => again.close());
  for (const model of ['endless', 'good']) {
    t.is((await infer(again, model, 0n)).model_version, '1', model);
  }
  t.is(await second.end('SIGTERM'), 0, second.stderr());
});

test('a load past max_load_ms fails with its reason in the status; the others serve', async (t) => {
  const data = await dataFolder(t);
  const folder = join(dirname(data), 'models');
  const limit = 'parameters { key: "torus_max_load_ms" value { string_value: "1" } }';
  await writeModel(folder, 'late', slowModel(20, 256), `max_batch_size: 0\n${limit}`);
  await writeModel(folder, 'good', identityModel('INT64', [1]), 'max_batch_size: 0');
  const server = await startTorus({ data, flags: ['--model-repository', folder] });
  t.teardown(async () => void (await server.end('SIGKILL')));
  await server.sees(/: 2 imported/);
  const status = async (): Promise<string> =>
    (await torus(['status', '--server', `http://${server.http}`])).stdout;
  const told = /late .* took longer than max_load_ms 1: its thread/;
  let seen = await status();
  while (!told.test(seen)) seen = await status();
  t.regex(seen, told);
  const client = outsideClient(server.grpc);
  t.teardown(() => client.close());
  t.is((await infer(client, 'good', 0n)).model_version, '1');
  t.regex(server.stderr(), /"model":"late".*max_load_ms 1/);
});
