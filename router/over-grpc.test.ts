// The router in front of nodes that are reached over real connections: one of them dies.
import test from 'ava';
import { notFound, StatusError } from '../common/status.ts';
import {
  ModelInferRequest,
  RepositoryModelLoadRequest,
} from '../proto/gen/inference/grpc_service.ts';
import { FOREVER_MS, startEchoCluster, startEchoNode } from '../test/support/echo-cluster.ts';
import { assign, copy, entry, node, until } from '../test/support/small-cluster.ts';
import type { Backend } from '../transport/backend.ts';
import { invokeUnary } from '../transport/invoke.ts';
import type { ControlHooks } from './cluster-service.ts';
import { MODEL_INFER } from './forward.ts';

const SERVICE = '/inference.GRPCInferenceService';

const request = (sizeBytes: number): Uint8Array =>
  ModelInferRequest.encode(
    ModelInferRequest.fromPartial({
      modelName: 'm',
      rawInputContents: [new Uint8Array(sizeBytes).fill(3)],
    }),
  ).finish();

async function nodeOf(client: Backend): Promise<string> {
  const { trailers } = await invokeUnary(client, MODEL_INFER, request(10));
  return String(trailers.find(([key]) => key === 'x-node')?.[1]);
}

for (const isPassing of [false, true]) {
  const how = isPassing ? 'as bytes' : 'as messages';
  test(`${how}: bytes of any size pass through unchanged`, async (t) => {
    const { client, stop } = await startEchoCluster(['a'], { isPassing });
    for (const sizeBytes of [0, 100, 1_000_000, 32 * 1024 * 1024]) {
      const sent = request(sizeBytes);
      const { response } = await invokeUnary(client, MODEL_INFER, sent);
      t.is(Buffer.compare(response, sent), 0, `${sizeBytes} bytes`);
    }
    await stop();
  });

  test(`${how}: a node dies with a call on it: it and all after it get answers`, async (t) => {
    const { client, nodes, stop } = await startEchoCluster(['a', 'b'], { isPassing });
    const [a] = nodes;
    if (a === undefined) return t.fail();
    const seen = new Set<string>();
    await until('both take calls', async () => seen.add(await nodeOf(client)).size === 2);

    a.hang();
    const calls = Array.from({ length: 20 }, () => nodeOf(client));
    await a.hanging;
    a.stop();
    t.deepEqual(new Set(await Promise.all(calls)), new Set(['b']));
    t.deepEqual(
      await Promise.all(Array.from({ length: 20 }, () => nodeOf(client))),
      Array.from({ length: 20 }, () => 'b'),
    );
    await stop();
  });

  test(`${how}: the last node dies: calls wait, and a node that comes takes them`, async (t) => {
    const { client, nodes, registry, stop } = await startEchoCluster(['a'], { isPassing });
    t.is(await nodeOf(client), 'a');
    nodes[0]?.stop();
    await registry.removeNode('a', 'a-1');
    const waiting = nodeOf(client);
    const c = await startEchoNode('c');
    await registry.putNode(node('c', { address: c.address }), [copy('m', 1)], FOREVER_MS);
    t.is(await waiting, 'c');
    c.stop();
    await stop();
  });
}

test('loading and unloading are asked of control, and waited for', async (t) => {
  const asked: string[] = [];
  const hooks: ControlHooks = {
    async loadModel(model) {
      if (model === 'none') throw notFound('no such model');
      asked.push(`load ${model}`);
      await assign(cluster.registry, [entry('m', 1), entry(model, 1, { nodes: ['a'] })], 2);
      await cluster.registry.putCopies('a', 'a-1', [copy('m', 1), copy(model, 1)]);
    },
    async unloadModel(model) {
      asked.push(`unload ${model}`);
    },
  };
  const cluster = await startEchoCluster(['a'], { isPassing: false, control: hooks });
  const call = (method: string, modelName: string) => {
    const message = RepositoryModelLoadRequest.fromPartial({ modelName });
    const bytes = RepositoryModelLoadRequest.encode(message).finish();
    return invokeUnary(cluster.client, `${SERVICE}/${method}`, bytes);
  };
  await call('RepositoryModelLoad', 'n');
  await call('RepositoryModelUnload', 'n');
  t.deepEqual(asked, ['load n', 'unload n']);
  const unknown = await t.throwsAsync(call('RepositoryModelLoad', 'none'));
  t.is(unknown?.message, "failed to load 'none', failed to poll from model repository");
  await cluster.stop();

  const failingHooks: ControlHooks = {
    ...hooks,
    loadModel: async (model) => {
      await assign(failing.registry, [entry(model, 1, { nodes: ['a'] })], 2);
      await failing.registry.putCopies('a', 'a-1', [copy(model, 1, 'FAILED')]);
    },
  };
  const failing = await startEchoCluster(['a'], { isPassing: false, control: failingHooks });
  const bytes = RepositoryModelLoadRequest.encode(
    RepositoryModelLoadRequest.fromPartial({ modelName: 'bad' }),
  ).finish();
  const failed = invokeUnary(failing.client, `${SERVICE}/RepositoryModelLoad`, bytes);
  t.is(
    (await t.throwsAsync(failed, { instanceOf: StatusError }))?.message,
    "load failed for model 'bad': version 1 is at UNAVAILABLE state: corrupt file;",
  );
  await failing.stop();

  const alone = await startEchoCluster(['a'], { isPassing: false });
  const refused = invokeUnary(alone.client, `${SERVICE}/RepositoryModelLoad`, bytes);
  t.regex((await t.throwsAsync(refused))?.message ?? '', /by the control role/);
  await alone.stop();
});
