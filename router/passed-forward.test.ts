// Calls that are passed on as bytes, from a caller that sends what it likes (node:http2) through
// the router to nodes over real connections.
import { once } from 'node:events';
import http2 from 'node:http2';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { Code, notFound, StatusError } from '../common/status.ts';
import { ModelInferRequest } from '../proto/gen/inference/grpc_service.ts';
import { FOREVER_MS, startEchoCluster } from '../test/support/echo-cluster.ts';
import {
  answerOf,
  framed,
  inferRequest,
  type RawCaller,
  rawCaller,
} from '../test/support/raw-caller.ts';
import { assign, copy, entry, node, until } from '../test/support/small-cluster.ts';
import { messagePrefix } from '../transport/grpc/message-prefix.ts';

const NAME = Buffer.from(
  ModelInferRequest.encode(ModelInferRequest.fromPartial({ modelName: 'm' })).finish(),
);

type Cluster = Awaited<ReturnType<typeof startEchoCluster>>;

interface Wire extends RawCaller {
  readonly cluster: Cluster;
  stop(): Promise<void>;
}

async function wire(ids: readonly string[] = ['a']): Promise<Wire> {
  const cluster = await startEchoCluster(ids, { isPassing: true });
  const caller = rawCaller(cluster.address);
  return {
    ...caller,
    cluster,
    async stop() {
      caller.session.destroy();
      await until('nothing is held', () => cluster.held() === 0);
      await cluster.stop();
    },
  };
}

test('headers, content and trailers pass as they came, compression too', async (t) => {
  const w = await wire();
  const message = Buffer.concat([inferRequest(100), Buffer.from([0xa0, 0x06, 0x07])]);
  const packed = framed(gzipSync(message), true);
  const answer = await w.send([packed], {
    'grpc-encoding': 'gzip',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'x-binary-bin': Buffer.from([1, 255]).toString('base64'),
  });
  t.is(answer.status, '0', answer.text);
  t.true(answer.body.subarray(5).equals(message), 'the node has inflated it, nobody else');
  t.is(answer.trailers['x-node'], 'a');
  const seen = w.cluster.nodes[0]?.lastMetadata();
  t.deepEqual(
    seen?.filter(([key]) => key === 'traceparent' || key === 'x-binary-bin'),
    [
      ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
      ['x-binary-bin', Buffer.from([1, 255])],
    ],
  );
  await w.stop();
});

test('a request in pieces of any size is one request', async (t) => {
  const w = await wire();
  const message = inferRequest(300);
  const bytes = framed(message);
  for (const size of [1, 3, 7, 100]) {
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
    const answer = await w.send(pieces);
    t.true(answer.body.subarray(5).equals(message), `pieces of ${size} bytes: ${answer.text}`);
  }
  await w.stop();
});

test('a large request goes on before it is whole', async (t) => {
  const w = await wire();
  const message = inferRequest(3 * 1024 * 1024);
  const bytes = framed(message);
  const half = bytes.length / 2;
  const stream = w.open();
  const answered = answerOf(stream);
  stream.write(bytes.subarray(0, half));
  await until('the node has a call', () => (w.cluster.nodes[0]?.openCalls() ?? 0) === 1);
  stream.end(bytes.subarray(half));
  const answer = await answered;
  t.true(answer.body.subarray(5).equals(message), answer.text);
  await w.stop();
});

test('a large request whose name comes last is gathered, and understood', async (t) => {
  const w = await wire();
  const tensors = inferRequest(2 * 1024 * 1024, { modelName: '' });
  const message = Buffer.concat([tensors, NAME]);
  const answer = await w.send([framed(message)]);
  t.is(answer.status, '0', answer.text);
  t.true(answer.body.subarray(5).equals(message));
  await w.stop();
});

test('a large request that names a second model behind its tensors is refused', async (t) => {
  const w = await wire();
  const message = Buffer.concat([inferRequest(2 * 1024 * 1024), NAME]);
  const answer = await w.send([framed(message)]);
  t.is(answer.status, String(Code.INVALID_ARGUMENT));
  t.regex(answer.text, /must come first/);
  await until('the node is rid of it', () => w.cluster.nodes[0]?.openCalls() === 0);
  await w.stop();
});

test('what is no request is told so', async (t) => {
  const w = await wire();
  const message = inferRequest(10);
  const whole = framed(message);
  const cases: readonly (readonly [pieces: readonly Buffer[], status: Code, text: RegExp])[] = [
    [[], Code.UNIMPLEMENTED, /takes one request, got none/],
    [[whole.subarray(0, 3)], Code.UNIMPLEMENTED, /got none/],
    [[whole.subarray(0, 9)], Code.INTERNAL, /ends after 9 of the/],
    [[whole, whole], Code.UNIMPLEMENTED, /got more/],
    [[Buffer.from([2, 0, 0, 0, 0])], Code.INTERNAL, /begins with 2/],
    [[framed(Buffer.from([0x0a, 9]))], Code.INVALID_ARGUMENT, /announced/],
    [[messagePrefix(2 ** 30) as Buffer], Code.RESOURCE_EXHAUSTED, /larger than the limit/],
    [[framed(inferRequest(1, { modelName: 'x' }))], Code.NOT_FOUND, /'x' is not found/],
    [[framed(inferRequest(1, { modelVersion: 'v' }))], Code.INVALID_ARGUMENT, /version string 'v'/],
  ];
  for (const [pieces, status, text] of cases) {
    const answer = await w.send(pieces);
    t.is(answer.status, String(status), answer.text);
    t.regex(answer.text, text);
  }
  const bomb = await w.send([framed(gzipSync(Buffer.alloc(80 * 1024 * 1024)), true)], {
    'grpc-encoding': 'gzip',
  });
  t.is(bomb.status, String(Code.RESOURCE_EXHAUSTED));
  t.is(w.cluster.nodes[0]?.calls(), 0, 'no node has seen any of them');
  await w.stop();
});

test('of several versions the chosen one is told, in whatever form a request is', async (t) => {
  const w = await wire();
  const { registry } = w.cluster;
  const two = [entry('m', 1, { weight: 0 }), entry('m', 2, { weight: 1 })];
  await assign(registry, two, 2);
  const [first] = w.cluster.nodes;
  if (first === undefined) return t.fail();
  await registry.putNode(
    node('a', { address: first.address }),
    [copy('m', 1), copy('m', 2)],
    FOREVER_MS,
  );
  const versionOf = async (pieces: readonly Buffer[], headers = {}): Promise<string> => {
    const { body } = await w.send(pieces, headers);
    return ModelInferRequest.decode(body.subarray(5)).modelVersion;
  };
  await until('it is known', async () => (await versionOf([framed(inferRequest(1))])) === '2');
  t.is(await versionOf([framed(inferRequest(1, { modelVersion: '1' }))]), '1');
  t.is(
    await versionOf([framed(gzipSync(inferRequest(9)), true)], { 'grpc-encoding': 'gzip' }),
    '2',
  );
  t.is(await versionOf([framed(inferRequest(2 * 1024 * 1024))]), '2');
  await w.stop();
});

test('a node that says no: another is asked, and the last word is passed on', async (t) => {
  const w = await wire(['a', 'b']);
  const [a, b] = w.cluster.nodes;
  a?.fail(notFound('not here'));
  for (let round = 0; round < 10; round += 1) {
    t.is((await w.send([framed(inferRequest(1))])).trailers['x-node'], 'b');
  }
  b?.fail(new StatusError(Code.UNAVAILABLE, 'full up'));
  a?.fail(new StatusError(Code.UNAVAILABLE, 'full up'));
  const answer = await w.send([framed(inferRequest(1))]);
  t.is(answer.status, String(Code.UNAVAILABLE));
  t.is(answer.text, 'full up');
  b?.fail(new StatusError(Code.INVALID_ARGUMENT, 'wrong shape'));
  a?.fail(new StatusError(Code.INVALID_ARGUMENT, 'wrong shape'));
  t.is((await w.send([framed(inferRequest(1))])).text, 'wrong shape');
  await w.stop();
});

test('a caller that goes takes its call along, wherever it is', async (t) => {
  const w = await wire();
  const [a] = w.cluster.nodes;
  a?.hang();
  const bytes = framed(inferRequest(2 * 1024 * 1024));
  for (const cut of [0, 3, 100, 70_000, bytes.length]) {
    const stream = w.open();
    stream.on('error', () => {});
    stream.write(bytes.subarray(0, cut));
    if (cut > 65_536) await until('it is at the node', () => a?.openCalls() === 1);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await once(stream, 'close');
    await until('and no more', () => a?.openCalls() === 0);
  }
  t.is(w.cluster.held(), 0);
  await w.stop();
});

test('a caller that does not read holds its answer back at the node', async (t) => {
  const w = await wire();
  const [a] = w.cluster.nodes;
  const message = inferRequest(32 * 1024 * 1024);
  const stream = w.open();
  stream.pause();
  stream.end(framed(message));
  await until('the node has answered', () => a?.calls() === 1);
  const other = await w.send([framed(inferRequest(10))]);
  t.is(other.status, '0', 'others are not held up');
  t.true((a?.answerBytes() ?? 0) > 24 * 1024 * 1024, 'most of it waits at the node');
  const answered = answerOf(stream);
  stream.resume();
  t.is((await answered).body.length, message.length + 5);
  await w.stop();
});
