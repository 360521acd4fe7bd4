// Streams of inference from a client of another make, through the router to real nodes and models:
// over sockets, where the router passes bytes on, and within one process.
import { type ClientDuplexStream, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { NODE_METHODS } from '../router/router.ts';
import { connectGrpc } from '../transport/client/client.ts';
import { invokeStream } from '../transport/invoke.ts';
import { fp32 } from './support/infer-requests.ts';
import { call, inferBytes } from './support/inference-client.ts';
import { startNodeCluster } from './support/node-cluster.ts';
import { until } from './support/small-cluster.ts';
import { addModel, identityModel, slowModel } from './support/tiny-onnx.ts';

const WIDTH = 2;

interface Told {
  readonly error_message: string;
  readonly infer_response: { readonly id: string; readonly raw_output_contents: Buffer[] };
}

const request = (id: string, values: readonly number[], modelName = 'add') => ({
  model_name: modelName,
  id,
  inputs: ['a', 'b'].map((name) => ({ name, datatype: 'FP32', shape: [1, WIDTH] })),
  raw_input_contents: [floats(values), floats(values)],
});

const floats = (values: readonly number[]): Buffer => Buffer.from(new Float32Array(values).buffer);
const valuesOf = (told: Told): number[] => {
  const [bytes] = told.infer_response.raw_output_contents;
  return [...new Float32Array(Uint8Array.from(bytes ?? []).buffer)];
};

/** What a stream is told, and how it ends. */
function listen(stream: ClientDuplexStream<unknown, unknown>) {
  const told: Told[] = [];
  stream.on('data', (one: Told) => told.push(one));
  stream.on('error', () => {});
  const ended = new Promise<{ code: number; details: string }>((resolve) =>
    stream.on('status', resolve),
  );
  return { told, ended };
}

const ONE = { 'add/1/model.onnx': addModel(WIDTH) };

async function cluster(
  t: ExecutionContext,
  ...[nodes, isLocal]: Parameters<typeof startNodeCluster>
) {
  const started = await startNodeCluster(nodes, isLocal);
  t.teardown(started.stop);
  return started;
}

for (const isLocal of [false, true]) {
  const where = isLocal ? 'in one process' : 'over sockets';

  test(`${where}: all requests of a stream go to one node, also wrong ones`, async (t) => {
    const files = { ...ONE, 'other/1/model.onnx': addModel(WIDTH) };
    const { client, nodes, openCalls } = await cluster(t, { n1: files, n2: files }, isLocal);
    const stream = client.duplex('ModelStreamInfer');
    const { told, ended } = listen(stream);
    for (let at = 0; at < 40; at += 1) {
      // Also for a model that the first message did not name, and for one that nobody has.
      const model = at % 4 === 1 ? 'other' : at % 4 === 3 ? 'nobody' : 'add';
      stream.write(request(String(at), [at, 1], model));
    }
    stream.end();
    t.is((await ended).code, status.OK);
    const byId = new Map(told.map((one) => [Number(one.infer_response.id), one]));
    t.is(byId.size, 40);
    for (const [at, one] of byId) {
      if (at % 4 === 3) t.regex(one.error_message, /'nobody' is not found/);
      else t.deepEqual(valuesOf(one), [2 * at, 2]);
    }
    const counted = await Promise.all(
      nodes.map(async ({ node }) => {
        const { modelStats } = await call(node.backend, 'modelStatistics', {});
        return modelStats.reduce((sum, one) => sum + Number(one.inferenceStats?.success?.count), 0);
      }),
    );
    t.deepEqual([...counted].sort(), [0, 30], 'one node has counted them all');
    await until('nothing is left', () => openCalls() === 0);
  });

  test(`${where}: a caller that goes leaves nothing behind`, async (t) => {
    const { client, nodes, held, openCalls } = await cluster(t, { n1: ONE }, isLocal);
    for (const messages of [0, 1, 3]) {
      const stream = client.duplex('ModelStreamInfer');
      const { told, ended } = listen(stream);
      for (let at = 0; at < messages; at += 1) stream.write(request(String(at), [1, 1]));
      await until('answers come', () => told.length === messages);
      stream.cancel();
      t.is((await ended).code, status.CANCELLED);
      await until('nothing is left', () => openCalls() === 0 && nodes[0]?.openCalls() === 0);
      t.is(held(), 0);
    }
  });

  test(`${where}: a deadline ends a stream that is still open`, async (t) => {
    const { client, openCalls } = await cluster(t, { n1: ONE }, isLocal);
    const stream = client.duplex('ModelStreamInfer', {}, { deadline: Date.now() + 1_000 });
    const { ended } = listen(stream);
    stream.write(request('a', [1, 1]));
    t.is((await ended).code, status.DEADLINE_EXCEEDED);
    await until('nothing is left', () => openCalls() === 0);
  });

  test(`${where}: a stream for a model that nobody has, and one without a request`, async (t) => {
    const { client } = await cluster(t, { n1: ONE }, isLocal);
    const lost = client.duplex('ModelStreamInfer');
    const { ended } = listen(lost);
    lost.write(request('a', [1, 1], 'nobody'));
    const end = await ended;
    t.is(end.code, status.NOT_FOUND);
    t.regex(end.details, /'nobody' is not found/);
    const empty = client.duplex('ModelStreamInfer');
    const nothing = listen(empty);
    empty.end();
    t.is((await nothing.ended).code, status.UNIMPLEMENTED);
  });

  test(`${where}: a caller that does not read is read no further`, async (t) => {
    const wide = 64 * 1024;
    const files = { 'same/1/model.onnx': identityModel('FP32', ['batch', wide]) };
    const { address, nodes, held, openCalls } = await cluster(t, { n1: files }, isLocal);
    const caller = connectGrpc({ address, methods: NODE_METHODS });
    t.teardown(() => caller.close());
    const count = 120;
    const heldBytes = (): number => held() + (nodes[0]?.heldBytes() ?? 0);
    const values = new Array<number>(wide).fill(1);
    let asked = 0;
    const requests = function* () {
      for (; asked < count; asked += 1) yield inferBytes('same', [fp32('x', [1, wide], values)]);
    };
    const answers = invokeStream(
      caller,
      '/inference.GRPCInferenceService/ModelStreamInfer',
      requests(),
    );
    let [before, quietTurns] = [-1, 0];
    await until('nothing moves any more', () => {
      quietTurns = asked === before && asked > 0 ? quietTurns + 1 : 0;
      before = asked;
      return quietTurns > 1_000;
    });
    t.true(asked < 100, `${asked} messages of 256 KiB were taken`);
    t.true(heldBytes() < 32 * 1024 * 1024, `${heldBytes()} bytes are held`);
    let told = 0;
    for await (const _ of answers) told += 1;
    t.is(told, count);
    await until('nothing is left', () => openCalls() === 0);
  });
}

test('losing its node ends a stream with UNAVAILABLE, and it is not begun anew', async (t) => {
  const { client, nodes, held, openCalls } = await cluster(t, { n1: ONE, n2: ONE });
  const stream = client.duplex('ModelStreamInfer');
  const { told, ended } = listen(stream);
  stream.write(request('a', [1, 1]));
  await until('it is answered', () => told.length === 1);
  const busy = nodes.find((one) => one.openCalls() === 1);
  busy?.kill();
  const end = await ended;
  t.is(end.code, status.UNAVAILABLE);
  t.regex(end.details, /127\.0\.0\.1:\d+/, 'says which node');
  await until('nothing is left', () => openCalls() === 0 && held() === 0);
  const again = client.duplex('ModelStreamInfer');
  const next = listen(again);
  again.write(request('b', [2, 2]));
  again.end();
  t.is((await next.ended).code, status.OK, 'the other node takes new ones');
  t.deepEqual(next.told.map(valuesOf), [[4, 4]]);
});

test('a stream that was not answered yet is not begun anew either', async (t) => {
  const slow = { 'slow/1/model.onnx': slowModel(600) };
  const { client, nodes } = await cluster(t, { n1: slow, n2: slow });
  const stream = client.duplex('ModelStreamInfer');
  const { told, ended } = listen(stream);
  stream.write({
    model_name: 'slow',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1] }],
    raw_input_contents: [floats([1])],
  });
  stream.end();
  const busy = () => nodes.find((one) => one.openCalls() === 1);
  await until('it is at a node', () => busy() !== undefined);
  busy()?.kill();
  t.is((await ended).code, status.UNAVAILABLE, 'its requests may have run');
  t.deepEqual(told, []);
});

test('a stream whose node can not be reached goes to another with its first message', async (t) => {
  const { client, nodes } = await cluster(t, { n1: ONE, n2: ONE });
  nodes[0]?.kill();
  for (let round = 0; round < 8; round += 1) {
    const stream = client.duplex('ModelStreamInfer');
    const { told, ended } = listen(stream);
    stream.write(request('a', [round, 1]));
    stream.end();
    const end = await ended;
    t.is(end.code, status.OK, end.details);
    t.deepEqual(told.map(valuesOf), [[2 * round, 2]]);
  }
});

test('a node that drains answers what it has, then ends its streams', async (t) => {
  const { client, nodes } = await cluster(t, { n1: ONE });
  const stream = client.duplex('ModelStreamInfer');
  const { told, ended } = listen(stream);
  stream.write(request('a', [1, 1]));
  await until('it is answered', () => told.length === 1);
  await nodes[0]?.node.drain();
  const end = await ended;
  t.is(end.code, status.UNAVAILABLE);
  t.regex(end.details, /shutting down: open a new stream/);
});
