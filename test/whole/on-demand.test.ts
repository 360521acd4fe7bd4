// Models that are loaded by their first call, through a router, in a cluster of the real parts.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code } from '../../common/status.ts';
import { floats, infer } from '../support/inference-client.ts';
import { ONES } from '../support/one-node.ts';
import { until } from '../support/small-cluster.ts';
import { addModel } from '../support/tiny-onnx.ts';
import { wholeCluster } from '../support/whole-cluster.ts';

const ON_DEMAND = 'parameters { key: "torus_min_copies" value { string_value: "0" } }';
const MODELS = ['a', 'b', 'c'];

test('calls for models that nobody loaded are answered, each model loaded once', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-on-demand-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const model of MODELS) {
    await mkdir(join(folder, model, '1'), { recursive: true });
    await writeFile(join(folder, model, '1', 'model.onnx'), addModel(2));
    await writeFile(join(folder, model, 'config.pbtxt'), ON_DEMAND);
  }
  const cluster = await wholeCluster((end) => t.teardown(end));
  const { registry, front } = cluster;
  await cluster.importRepository(folder);
  await Promise.all(['n1', 'n2'].map((id) => cluster.startNode(id)));
  const assigned = async () => {
    const all = await registry.shards(Array.from({ length: 256 }, (_, index) => index));
    return all.flatMap(({ entries }) => entries);
  };
  const held = async (): Promise<readonly string[]> =>
    [...(await registry.copies()).values()].flat().map(({ model, state }) => `${model} ${state}`);
  await until('planned', async () => {
    const entries = await assigned();
    return entries.length === 3 && entries.every(({ nodes }) => nodes.length === 1);
  });
  t.true((await assigned()).every(({ isOnDemand }) => isOnDemand === true));
  t.deepEqual(await held(), []);
  await until('known to the router', async () => {
    const error = await infer(front, 'a', ONES).catch((thrown) => thrown);
    return error.code !== Code.NOT_FOUND;
  });
  const answers = await Promise.all(Array.from({ length: 20 }, () => infer(front, 'b', ONES)));
  for (const answer of answers) t.deepEqual(floats(answer), [11, 22]);
  t.deepEqual([...(await held())].sort(), ['a READY', 'b READY']);
});
