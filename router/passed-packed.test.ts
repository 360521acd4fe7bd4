// Compressed requests: looked into within the limits, passed on as they came.
import { constants, gzipSync } from 'node:zlib';
import test from 'ava';
import { Code } from '../common/status.ts';
import { answerOf, framed, inferRequest } from '../test/support/raw-caller.ts';
import { echo, scriptedCluster } from '../test/support/scripted-cluster.ts';
import { assign, entry, until } from '../test/support/small-cluster.ts';

const MIB = 1024 * 1024;
const GZIP = { 'grpc-encoding': 'gzip' };
const packed = (message: Buffer): Buffer =>
  framed(gzipSync(message, { level: constants.Z_BEST_SPEED }), true);

test('however deep the name lies, a compressed request goes on as it came', async (t) => {
  const { caller, hits } = await scriptedCluster(t, (hit) => void echo(hit));
  const tensors = inferRequest(8 * MIB, { modelName: '' });
  const bytes = packed(Buffer.concat([tensors, inferRequest(0)]));
  const answer = await caller.send([bytes.subarray(0, 9), bytes.subarray(9)], GZIP);
  t.is(answer.status, '0', answer.text);
  t.true(answer.body.equals(bytes));
  t.is(hits.length, 1);
});

test('what cannot be looked into is refused, and no node sees it', async (t) => {
  const { caller, hits } = await scriptedCluster(t, (hit) => void echo(hit));
  const good = gzipSync(inferRequest(10));
  const wrong = gzipSync(inferRequest(MIB));
  // In the middle of what was deflated, so that neither its length nor its head is wrong.
  wrong.fill(0xff, wrong.length >> 1, wrong.length - 8);
  const cases: readonly (readonly [bytes: Buffer, encoding: string, status: Code])[] = [
    [framed(good, true), 'snappy', Code.UNIMPLEMENTED],
    [framed(good.subarray(0, 19), true), 'gzip', Code.INTERNAL],
    [framed(wrong, true), 'gzip', Code.INTERNAL],
    [framed(Buffer.from('no gzip'), true), 'gzip', Code.INTERNAL],
    [packed(Buffer.alloc(64 * MIB + 1)), 'gzip', Code.RESOURCE_EXHAUSTED],
  ];
  for (const [bytes, encoding, status] of cases) {
    const answer = await caller.send([bytes], { 'grpc-encoding': encoding });
    t.is(answer.status, String(status), `${encoding}: ${answer.text}`);
  }
  t.is(hits.length, 0);
});

test('what a request inflated to counts as held while it waits for a copy', async (t) => {
  const { caller, cluster } = await scriptedCluster(t, (hit) => void echo(hit));
  await assign(cluster.registry, [entry('m', 1), entry('late', 1, { nodes: ['n0'] })], 2);
  const bytes = packed(inferRequest(8 * MIB, { modelName: 'late' }));
  t.true(bytes.length < MIB);
  await until('it waits', async () => {
    const stream = caller.open(GZIP);
    const answered = answerOf(stream);
    stream.end(bytes);
    // Until the router has heard of the model it says that there is none.
    let isAnswered = false;
    void answered.then(() => {
      isAnswered = true;
    });
    await until('held or answered', () => isAnswered || cluster.held() > 8 * MIB);
    const isHeld = cluster.held() > 8 * MIB && cluster.held() < 10 * MIB;
    stream.close();
    await until('nothing is held', () => cluster.held() === 0);
    return isHeld;
  });
  t.pass();
});
