// A node and a router over several I/O threads are one node and one router to whoever calls.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { GRPCInferenceServiceDefinition } from '../../proto/gen/inference/grpc_service.ts';
import { ConnectionLost } from '../../transport/backend.ts';
import { connectGrpc, type GrpcClient } from '../../transport/client/client.ts';
import { pathsOf } from '../../transport/late-backend.ts';
import { call, floats, infer } from '../support/inference-client.ts';
import { mlpModel } from '../support/tiny-onnx.ts';
import { dataFolder, startTorus, type TorusProcess, torus } from '../support/torus-process.ts';

const CONNECTIONS = 24;
const MODELS = ['here', 'there'];
const METHODS = pathsOf([GRPCInferenceServiceDefinition]);

async function writeModels(folder: string): Promise<void> {
  for (const [name, way] of [
    ['here', 'inline'],
    ['there', 'worker'],
  ] as const) {
    await mkdir(join(folder, name, '1'), { recursive: true });
    await writeFile(join(folder, name, '1', 'model.onnx'), mlpModel());
    const execution = `parameters { key: "torus_execution" value { string_value: "${way}" } }`;
    await writeFile(join(folder, name, 'config.pbtxt'), `max_batch_size: 16\n${execution}`);
  }
}

async function start(t: ExecutionContext, ioThreads: number, at?: string): Promise<TorusProcess> {
  const data = at ?? (await dataFolder(t));
  const folder = join(dirname(data), 'models');
  await writeModels(folder);
  const flags = ['--model-repository', folder, '--io-threads', String(ioThreads)];
  const server = await startTorus({ data, flags });
  t.teardown(async () => void (await server.end('SIGKILL')));
  await server.sees(/: [02] imported/);
  const client = connectGrpc({ address: server.grpc, methods: METHODS });
  t.teardown(() => client.close());
  const isReady = async (name: string): Promise<boolean> =>
    (await call(client, 'modelReady', { name })).ready;
  while (!(await Promise.all(MODELS.map(isReady))).every(Boolean));
  return server;
}

/** Each a connection of its own. */
function connections(t: ExecutionContext, { grpc }: TorusProcess): readonly GrpcClient[] {
  const clients = Array.from({ length: CONNECTIONS }, () =>
    connectGrpc({ address: grpc, methods: METHODS }),
  );
  t.teardown(() => {
    for (const client of clients) client.close();
  });
  return clients;
}

function row(at: number) {
  const values = Float32Array.from({ length: 16 }, (_, i) => Math.cos(at + i));
  return [
    { name: 'x', datatype: 'FP32', shape: [1, 16], bytes: new Uint8Array(values.buffer) },
  ] as const;
}

async function metricsOf({ metrics }: TorusProcess): Promise<string> {
  return await (await fetch(`http://${metrics}/metrics`)).text();
}

/** The sum of a metric's lines that have all of the labels. */
function sumOf(text: string, name: string, ...labels: readonly string[]): number {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`));
  const meant = lines.filter((line) => labels.every((label) => line.includes(label)));
  return meant.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** One call over each connection. */
function round(clients: readonly GrpcClient[], model: string): Promise<(readonly number[])[]> {
  return Promise.all(
    clients.map(async (client, at) => floats(await infer(client, model, row(at)))),
  );
}

async function handedOver(server: TorusProcess): Promise<number> {
  return sumOf(await metricsOf(server), 'torus_io_thread_handed_over_total');
}

/** Rounds until an inline model's calls stay on their thread: its router may not know it yet. */
async function roundsUntilHere(server: TorusProcess, clients: readonly GrpcClient[]) {
  for (let rounds = 1; ; rounds += 1) {
    const before = await handedOver(server);
    const answers = await round(clients, 'here');
    if ((await handedOver(server)) === before) return { rounds, answers };
  }
}

test.serial('two I/O threads answer as one does, and count as one', async (t) => {
  const answers: (readonly number[])[][] = [];
  for (const ioThreads of [1, 2]) {
    const server = await start(t, ioThreads);
    const clients = connections(t, server);
    const here = await roundsUntilHere(server, clients);
    const before = await handedOver(server);
    answers.push(here.answers, await round(clients, 'there'));
    t.is((await handedOver(server)) > before, ioThreads > 1, 'they meet in one batcher');
    const text = await metricsOf(server);
    const threads = text.match(/^torus_io_thread_connections\{.*$/gm) ?? [];
    t.is(threads.length, ioThreads);
    for (const line of threads) t.true(Number(line.split(' ').at(-1)) > 0, line);
    const counts = [here.rounds * CONNECTIONS, CONNECTIONS];
    for (const [at, name] of MODELS.entries()) {
      const count = counts[at] ?? 0;
      t.is(sumOf(text, 'nv_inference_request_success', `model="${name}"`), count);
      t.is(sumOf(text, 'torus_router_requests_total', `model="${name}"`, 'code="OK"'), count);
      for (const client of clients) {
        const { modelStats } = await call(client, 'modelStatistics', { name, version: '1' });
        t.is(modelStats.length, 1);
        t.is(modelStats[0]?.inferenceStats?.success?.count, BigInt(count));
        t.is(modelStats[0]?.memoryUsage.length, 1);
      }
    }
    t.is(await server.end('SIGTERM'), 0, server.stderr());
  }
  const [here, there, ...others] = answers;
  t.deepEqual(others, [here, there]);
  t.deepEqual(here, there);
});

test.serial(
  'a model is there over all connections, or over none; a port has one owner',
  async (t) => {
    const server = await start(t, 2);
    const [first, second, ...others] = connections(t, server);
    if (first === undefined || second === undefined) throw new Error('too few connections');
    const ready = async (client: GrpcClient): Promise<readonly string[]> =>
      (await call(client, 'repositoryIndex', { ready: true })).models.map(({ name }) => name);
    for (const model of MODELS) {
      await round(others, model);
      await call(first, 'repositoryModelUnload', { modelName: model });
      const rest = MODELS.filter((name) => name !== model);
      for (const client of others) {
        t.deepEqual(await ready(client), rest);
        const error = await t.throwsAsync(infer(client, model, row(0)));
        t.regex(String(error?.message), /unknown model|not ready|no available versions/);
      }
      await call(second, 'repositoryModelLoad', { modelName: model });
      await round(others, model);
      for (const client of others) t.deepEqual(await ready(client), MODELS);
    }

    const port = server.grpc.split(':').at(-1) ?? '';
    const data = await dataFolder(t);
    const ports = ['http', 'metrics', 'admin', 'blob', 'node'].flatMap((name) => [
      `--${name}-port`,
      '0',
    ]);
    const flags = ['up', '--data', data, '--grpc-port', port, ...ports, '--io-threads', '2'];
    const refused = await torus(flags);
    t.not(refused.code, 0);
    t.regex(refused.stderr, new RegExp(`port ${port} on 127.0.0.1 is in use by another process`));
    await round(others, 'here');
  },
);

/** Calls until it is refused before it has left; gives how many were answered. */
async function callUntilRefused(client: GrpcClient, model: string): Promise<number> {
  for (let answered = 0; ; answered += 1) {
    try {
      await infer(client, model, row(answered));
    } catch (thrown) {
      if (thrown instanceof ConnectionLost && !thrown.mayHaveRun) return answered;
      throw thrown;
    }
  }
}

test.serial(
  'a SIGTERM under load costs no call that was taken, and the next run serves',
  async (t) => {
    const data = await dataFolder(t);
    const server = await start(t, 2, data);
    const clients = connections(t, server);
    await Promise.all(clients.map((client) => infer(client, 'there', row(0))));
    const callers = clients.flatMap((client) =>
      MODELS.map((model) => callUntilRefused(client, model)),
    );
    while (sumOf(await metricsOf(server), 'nv_inference_request_success') < 50 * CONNECTIONS);
    const ended = server.end('SIGTERM');
    const answered = await Promise.all(callers);
    t.true(
      answered.every((count) => count > 0),
      answered.join(' '),
    );
    t.is(await ended, 0, server.stderr());
    // Its models are loaded from disk while the threads still start.
    const next = await start(t, 2, data);
    await roundsUntilHere(next, connections(t, next));
  },
);
