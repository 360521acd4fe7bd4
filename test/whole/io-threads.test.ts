// A node and a router over several I/O threads are one node and one router to whoever calls.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { GRPCInferenceServiceDefinition } from '../../proto/gen/inference/grpc_service.ts';
import { connectGrpc, type GrpcClient } from '../../transport/client/client.ts';
import { pathsOf } from '../../transport/late-backend.ts';
import { call, floats, infer } from '../support/inference-client.ts';
import { mlpModel } from '../support/tiny-onnx.ts';
import { dataFolder, startTorus, type TorusProcess } from '../support/torus-process.ts';

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

async function start(t: ExecutionContext, ioThreads: number): Promise<TorusProcess> {
  const data = await dataFolder(t);
  const folder = join(dirname(data), 'models');
  await writeModels(folder);
  const flags = ['--model-repository', folder, '--io-threads', String(ioThreads)];
  const server = await startTorus({ data, flags });
  t.teardown(async () => void (await server.end('SIGKILL')));
  await server.sees(/: 2 imported/);
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

test('two I/O threads answer as one does, and count as one', async (t) => {
  const answers: (readonly number[])[][] = [];
  for (const ioThreads of [1, 2]) {
    const server = await start(t, ioThreads);
    const clients = connections(t, server);
    for (const model of MODELS) {
      const told = await Promise.all(
        clients.map(async (client, at) => floats(await infer(client, model, row(at)))),
      );
      answers.push(told);
    }
    const text = await metricsOf(server);
    const threads = text.match(/^torus_io_thread_connections\{.*$/gm) ?? [];
    t.is(threads.length, ioThreads);
    for (const line of threads) t.true(Number(line.split(' ').at(-1)) > 0, line);
    for (const model of MODELS) {
      t.is(sumOf(text, 'nv_inference_request_success', `model="${model}"`), CONNECTIONS);
      const told = await Promise.all(
        clients.map((client) => call(client, 'modelStatistics', { name: model, version: '1' })),
      );
      for (const { modelStats } of told) {
        t.is(modelStats.length, 1);
        t.is(modelStats[0]?.inferenceStats?.success?.count, BigInt(CONNECTIONS));
        t.is(modelStats[0]?.memoryUsage.length, 1);
      }
    }
    t.is(sumOf(text, 'torus_router_requests_total', 'code="OK"'), 2 * CONNECTIONS);
    const indexes = await Promise.all(clients.map((client) => call(client, 'repositoryIndex', {})));
    for (const index of indexes) {
      t.deepEqual(
        index.models.map(({ name, state }) => [name, state]),
        MODELS.map((name) => [name, 'READY']),
      );
    }
    t.is(await server.end('SIGTERM'), 0, server.stderr());
  }
  const [here, there, ...others] = answers;
  t.deepEqual(others, [here, there]);
  t.deepEqual(here, there);
});
