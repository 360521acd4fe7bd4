// When a call that is passed on as bytes is sent once more, and when it must not be: nodes of
// another make lose it in every way there is, and count how often it comes.
import http2 from 'node:http2';
import test from 'ava';
import { Code } from '../common/status.ts';
import { answerOf, framed, inferRequest } from '../test/support/raw-caller.ts';
import { echo, type Hit, scriptedCluster } from '../test/support/scripted-cluster.ts';
import { until } from '../test/support/small-cluster.ts';
import { GRPC_HEAD } from '../transport/client/foreign-server.contract.ts';
import { KEPT_REQUEST_BYTES } from './passed-request.ts';

const SMALL = inferRequest(100);
const SEQUENCE = inferRequest(100, {
  parameters: new Map([
    ['sequence_id', { parameterChoice: { $case: 'int64Param', int64Param: 7n } }],
  ]),
});

/** A request of exactly so many bytes. */
function requestOf(sizeBytes: number): Buffer {
  const over = inferRequest(sizeBytes).length - sizeBytes;
  return inferRequest(sizeBytes - over);
}

const cut = (hit: Hit): void => hit.cut();
const cutWhenWhole = async (hit: Hit): Promise<void> => {
  await hit.body();
  cut(hit);
};
const refuse = ({ stream }: Hit): void => stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);

test('a connection lost before the answer: up to 1 MiB goes to the other node', async (t) => {
  for (const message of [SMALL, requestOf(KEPT_REQUEST_BYTES)]) {
    const { caller, hits } = await scriptedCluster(t, (hit, at) => {
      if (at === 0) void cutWhenWhole(hit);
      else void echo(hit);
    });
    const answer = await caller.send([framed(message)]);
    t.is(answer.status, '0', answer.text);
    t.true(answer.body.equals(framed(message)), `${message.length} bytes`);
    t.is(hits.length, 2);
    t.not(hits[0]?.node, hits[1]?.node);
  }
});

test('once: a second loss is the answer', async (t) => {
  const { caller, hits } = await scriptedCluster(t, cut);
  t.is((await caller.send([framed(SMALL)])).status, String(Code.UNAVAILABLE));
  t.is(hits.length, 2);
});

test('more than 1 MiB, a sequence, or a model that is not idempotent: not again', async (t) => {
  const cases: readonly (readonly [message: Buffer, isIdempotent: boolean])[] = [
    [requestOf(KEPT_REQUEST_BYTES + 1), true],
    [SEQUENCE, true],
    [SMALL, false],
  ];
  for (const [message, isIdempotent] of cases) {
    const { caller, hits } = await scriptedCluster(t, cutWhenWhole, { isIdempotent });
    const answer = await caller.send([framed(message)]);
    t.is(answer.status, String(Code.UNAVAILABLE), answer.text);
    t.is(hits.length, 1, `${message.length} bytes`);
  }
});

test('an answer that has begun is not begun anew', async (t) => {
  for (const sent of [Buffer.alloc(0), framed(SMALL).subarray(0, 50)]) {
    const { caller, hits } = await scriptedCluster(t, ({ stream }) => {
      stream.respond(GRPC_HEAD);
      if (sent.length > 0) stream.write(sent);
    });
    const stream = caller.open();
    const answered = answerOf(stream);
    stream.end(framed(SMALL));
    await new Promise((resolve) => stream.once(sent.length > 0 ? 'data' : 'response', resolve));
    hits[0]?.cut();
    const answer = await answered;
    t.is(answer.status, String(Code.UNAVAILABLE));
    t.regex(answer.text, /in the middle of the answer/);
    t.is(hits.length, 1);
  }
});

test('a stream that a node refused goes to the other, whatever its model and size', async (t) => {
  for (const message of [SMALL, SEQUENCE, requestOf(KEPT_REQUEST_BYTES)]) {
    const { caller, hits } = await scriptedCluster(
      t,
      (hit, at) => {
        if (at === 0) refuse(hit);
        else void echo(hit);
      },
      { isIdempotent: false },
    );
    const answer = await caller.send([framed(message)]);
    t.is(answer.status, '0', answer.text);
    t.true(answer.body.equals(framed(message)));
    t.is(hits.length, 2);
  }
});

test('a GOAWAY whose last stream is below: sent again; calls up to it go on', async (t) => {
  const { caller, hits } = await scriptedCluster(t, () => {}, { isIdempotent: false });
  const calls = [SMALL, SEQUENCE, SMALL, SEQUENCE, SMALL, SMALL].map((message) =>
    caller.send([framed(message)]),
  );
  await until('all are at the nodes', () => hits.length === calls.length);
  const [first, ...above] = hits.filter(({ session }) => session === hits[0]?.session);
  t.true(above.length > 0);
  first?.session.goaway(0, first.stream.id ?? 0);
  const count = calls.length + above.length;
  await until('those above have come again', () => hits.length === count);
  for (const hit of hits) if (!above.includes(hit)) void echo(hit);
  for (const call of calls) t.is((await call).status, '0');
  for (const { node } of hits.slice(calls.length)) t.not(node, first?.node);
});

test('a node that can’t be reached: its calls go to the other, large ones too', async (t) => {
  const { caller, servers, hits } = await scriptedCluster(t, (hit) => void echo(hit), {
    isIdempotent: false,
  });
  await servers[0]?.stop();
  for (const message of [SMALL, SEQUENCE, requestOf(3 * KEPT_REQUEST_BYTES), SMALL]) {
    const answer = await caller.send([framed(message)]);
    t.is(answer.status, '0', answer.text);
    t.true(answer.body.equals(framed(message)));
  }
  t.deepEqual([...new Set(hits.map(({ node }) => node))], [1]);
});

test('a large request of which a part has gone on is never sent from its middle', async (t) => {
  const { caller, cluster, hits } = await scriptedCluster(t, (hit, at) => {
    if (at > 0) void echo(hit);
  });
  const bytes = framed(inferRequest(3 * KEPT_REQUEST_BYTES));
  const stream = caller.open();
  const answered = answerOf(stream);
  stream.write(bytes.subarray(0, 30_000));
  await until('the node has a call', () => hits.length === 1);
  await until('its first part has gone on', () => cluster.front().requestBytes === 0);
  stream.write(bytes.subarray(30_000, 230_000));
  await until('the rest waits for the node', () => cluster.front().requestBytes > 64 * 1024);
  hits[0]?.cut();
  const answer = await answered;
  t.is(answer.status, String(Code.UNAVAILABLE), answer.text);
  t.is(hits.length, 1);
});
