// The router in front of nodes that are reached over real connections: one of them dies.
import test from 'ava';
import { systemClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { notFound, StatusError } from '../common/status.ts';
import {
  ModelInferRequest,
  RepositoryModelLoadRequest,
} from '../proto/gen/inference/grpc_service.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import { assign, copy, entry, node, until } from '../test/support/small-cluster.ts';
import type { Backend, UnaryCall } from '../transport/backend.ts';
import { connectGrpc } from '../transport/client/client.ts';
import { invokeUnary } from '../transport/invoke.ts';
import { serveGrpc } from '../transport/server/serve-grpc.ts';
import type { ControlHooks } from './cluster-service.ts';
import { MODEL_INFER } from './forward.ts';
import { NODE_METHODS, startRouter } from './router.ts';

const log = createLog({ role: 'test', level: 'silent' });
const FOREVER_MS = 1e9;
const SERVICE = '/inference.GRPCInferenceService';

/** Answers with its request, and its id as a trailer. */
async function startEchoNode(id: string) {
  const hanging = Promise.withResolvers<UnaryCall>();
  let hangs = false;
  const backend: Backend = {
    methods: NODE_METHODS,
    unary: (call) => {
      if (hangs) hanging.resolve(call);
      else call.succeed(Uint8Array.from(call.request), [['x-node', id]]);
    },
    stream: () => {},
  };
  const server = await serveGrpc({ backend, host: '127.0.0.1', port: 0, log });
  const hang = (): void => {
    hangs = true;
  };
  return { id, address: server.address, stop: server.stop, hanging: hanging.promise, hang };
}

async function startCluster(ids: readonly string[], control?: ControlHooks) {
  const registry = new MemoryRegistry(systemClock);
  const nodes = await Promise.all(ids.map(startEchoNode));
  await assign(registry, [entry('m', 1)]);
  for (const { id, address } of nodes) {
    await registry.putNode(node(id, { address }), [copy('m', 1)], FOREVER_MS);
  }
  const metrics = createMetrics();
  const router = startRouter({
    registry,
    clock: systemClock,
    random: Math.random,
    log,
    metrics,
    version: '1',
    connect: (address) => connectGrpc({ address, methods: NODE_METHODS }),
    ...(control === undefined ? {} : { control }),
  });
  const front = await serveGrpc({ backend: router.backend, host: '127.0.0.1', port: 0, log });
  const client = connectGrpc({ address: front.address, methods: router.backend.methods });
  await until('ready', () => router.waitingFor().length === 0);
  const stop = async (): Promise<void> => {
    client.close();
    front.stop();
    router.stop();
    for (const one of nodes) one.stop();
    await registry.close();
  };
  return { registry, nodes, client, stop };
}

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

test('bytes of any size pass through unchanged', async (t) => {
  const { client, stop } = await startCluster(['a']);
  for (const sizeBytes of [0, 100, 1_000_000, 32 * 1024 * 1024]) {
    const sent = request(sizeBytes);
    const { response } = await invokeUnary(client, MODEL_INFER, sent);
    t.is(Buffer.compare(response, sent), 0, `${sizeBytes} bytes`);
  }
  await stop();
});

test('a node dies with a call on it: that call and all after it get answers', async (t) => {
  const { client, nodes, stop } = await startCluster(['a', 'b']);
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

test('the last node dies: calls wait, and a node that comes takes them', async (t) => {
  const { client, nodes, registry, stop } = await startCluster(['a']);
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
  const cluster = await startCluster(['a'], hooks);
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

  const failing = await startCluster(['a'], {
    ...hooks,
    loadModel: async (model) => {
      await assign(failing.registry, [entry(model, 1, { nodes: ['a'] })], 2);
      await failing.registry.putCopies('a', 'a-1', [copy(model, 1, 'FAILED')]);
    },
  });
  const bytes = RepositoryModelLoadRequest.encode(
    RepositoryModelLoadRequest.fromPartial({ modelName: 'bad' }),
  ).finish();
  const failed = invokeUnary(failing.client, `${SERVICE}/RepositoryModelLoad`, bytes);
  t.is(
    (await t.throwsAsync(failed, { instanceOf: StatusError }))?.message,
    "load failed for model 'bad': version 1 is at UNAVAILABLE state: corrupt file;",
  );
  await failing.stop();

  const alone = await startCluster(['a']);
  const refused = invokeUnary(alone.client, `${SERVICE}/RepositoryModelLoad`, bytes);
  t.regex((await t.throwsAsync(refused))?.message ?? '', /by the control role/);
  await alone.stop();
});
