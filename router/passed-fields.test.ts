// What a call and its answer carry beside their bytes passes unchanged both ways: metadata with
// -bin and duplicates, traceparent, initial metadata, trailers, statuses with details. The time
// that is left is told anew.
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { Code } from '../common/status.ts';
import { framed, inferRequest } from '../test/support/raw-caller.ts';
import { echo, scriptedCluster } from '../test/support/scripted-cluster.ts';
import { until } from '../test/support/small-cluster.ts';
import { DEFAULT_DEADLINE_MS } from '../transport/backend.ts';
import { GRPC_HEAD } from '../transport/client/foreign-server.contract.ts';
import { parseTimeoutMs } from '../transport/grpc/timeout.ts';
import { MODEL_STREAM_INFER } from './forward.ts';

const SMALL = framed(inferRequest(10));
const METADATA = {
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'a=1,b=2',
  'x-twice': ['one', 'two', 'one'],
  'x-data-bin': ['AP8', 'AP8=', ''],
  'x-spaced': 'a, b;  c=%41',
  'x-empty': '',
};
const LINES = Object.entries(METADATA).flatMap(([name, value]) =>
  [value].flat().map((one) => `${name}: ${one}`),
);
const ofMetadata = (lines: readonly string[]): string[] =>
  lines.filter((line) => line.startsWith('x-') || line.startsWith('trace'));

test('metadata passes unchanged: -bin, duplicates and traceparent, in their order', async (t) => {
  const { caller, hits } = await scriptedCluster(t, (hit) => void echo(hit));
  t.is((await caller.send([SMALL], METADATA)).status, '0');
  t.deepEqual(ofMetadata(hits[0]?.headerLines ?? []), LINES);
  t.is(hits[0]?.headers['content-type'], 'application/grpc');
});

test('initial metadata and trailers come back unchanged', async (t) => {
  const { caller } = await scriptedCluster(t, async ({ stream, body }) => {
    await body();
    stream.respond({ ...GRPC_HEAD, ...METADATA }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', ...METADATA }));
    stream.end(SMALL);
  });
  const answer = await caller.send([SMALL]);
  t.is(answer.status, '0');
  t.deepEqual(ofMetadata(answer.headerLines), LINES);
  t.deepEqual(ofMetadata(answer.trailerLines), LINES);
});

test('a status comes back unchanged, with details: at once, and behind an answer', async (t) => {
  const status = {
    'grpc-status': String(Code.FAILED_PRECONDITION),
    'grpc-message': '100%25 f%C3%BCll',
    'grpc-status-details-bin': 'CAkSBGZ1bGw',
  };
  const { caller } = await scriptedCluster(t, async ({ stream, body }, at) => {
    await body();
    if (at === 0) {
      stream.respond({ ...GRPC_HEAD, ...status, ...METADATA }, { endStream: true });
      return;
    }
    stream.respond(GRPC_HEAD, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ ...status, ...METADATA }));
    stream.end(SMALL);
  });
  for (const isBehind of [false, true]) {
    const answer = await caller.send([SMALL]);
    const last = isBehind ? answer.trailerLines : answer.headerLines;
    t.deepEqual(ofMetadata(last), LINES);
    for (const [name, value] of Object.entries(status)) t.true(last.includes(`${name}: ${value}`));
    t.is(answer.body.equals(SMALL), isBehind);
  }
});

test('unknown fields survive both ways, in every form of a message', async (t) => {
  const unknown = Buffer.from([0xa0, 0x06, 7, 0xa2, 0x06, 2, 1, 2, 0xa3, 0x06, 0xa4, 0x06]);
  const { caller, hits } = await scriptedCluster(t, (hit) => void echo(hit));
  const large = inferRequest(2 * 1024 * 1024);
  for (const message of [inferRequest(10), large]) {
    const all = Buffer.concat([message, unknown]);
    const before = Buffer.concat([unknown, message]);
    for (const bytes of [framed(all), framed(before), framed(gzipSync(all), true)]) {
      const answer = await caller.send([bytes], { 'grpc-encoding': 'gzip' });
      t.is(answer.status, '0', answer.text);
      t.true(answer.body.equals(bytes), `${bytes.length} bytes`);
    }
  }
  t.true(hits.every(({ headers }) => headers['grpc-encoding'] === 'gzip'));
});

test('a node is told the time that is left: when a call is resent, less than before', async (t) => {
  const { caller, hits } = await scriptedCluster(t, (hit, at) => {
    if (at > 0) return void echo(hit);
    // Lost when some of its time has passed.
    const seenMs = performance.now();
    const hasAged = until('it has aged', () => performance.now() > seenMs + 20);
    void hasAged.then(() => hit.cut());
  });
  t.is((await caller.send([SMALL], { 'grpc-timeout': '10S' })).status, '0');
  const [first = 0, second = 0] = hits.map(({ headers }) =>
    parseTimeoutMs(String(headers['grpc-timeout'])),
  );
  t.true(first > 0 && first <= 10_010, 'rounded up by a thousandth at most');
  t.true(second > 0 && second <= first - 10, `${first} ms, then ${second} ms`);
});

test('of a call without a deadline the node is told the default, of a stream none', async (t) => {
  const { caller, hits } = await scriptedCluster(t, (hit) => void echo(hit));
  await caller.send([SMALL]);
  await caller.send([SMALL], { ':path': MODEL_STREAM_INFER });
  const [unary, stream] = hits.map(({ headers }) => headers['grpc-timeout']);
  t.true(parseTimeoutMs(String(unary)) <= DEFAULT_DEADLINE_MS * 1.001);
  t.is(stream, undefined);
});
