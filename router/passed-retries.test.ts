// How many calls get a second try when nodes say that they are full, over real connections; and
// that losing a node is another matter.
import test from 'ava';
import { Code } from '../common/status.ts';
import { framed, inferRequest } from '../test/support/raw-caller.ts';
import { echo, type Hit, scriptedCluster } from '../test/support/scripted-cluster.ts';
import { until } from '../test/support/small-cluster.ts';
import { GRPC_HEAD } from '../transport/client/foreign-server.contract.ts';
import { MIN_RETRIES, RETRY_SHARE } from './retry-budget.ts';

const SMALL = framed(inferRequest(10));
const UNAVAILABLE = String(Code.UNAVAILABLE);

const sayFull = ({ stream }: Hit): void => {
  stream.respond({ ...GRPC_HEAD, 'grpc-status': UNAVAILABLE }, { endStream: true });
};

for (const live of [5, 50]) {
  const most = Math.max(MIN_RETRIES, RETRY_SHARE * live);
  test(`of ${live} live calls ${most} are tried again, and none of them twice`, async (t) => {
    const { caller, hits } = await scriptedCluster(t, () => {}, { nodes: 3 });
    let refused = 0;
    const calls = Array.from({ length: live }, async () => {
      const { status } = await caller.send([SMALL]);
      if (status === UNAVAILABLE) refused += 1;
      return status;
    });
    await until('all are at the nodes', () => hits.length === live);
    const firsts = [...hits];
    firsts.forEach(sayFull);
    await until('each is refused or tried again', () => refused + hits.length === 2 * live);
    t.is(hits.length - live, most);
    // None of these has run twice: a lost connection is no status, and does not count as one.
    const seconds = hits.slice(live);
    const lost = seconds.filter(({ node }) => node === seconds[0]?.node);
    lost[0]?.cut();
    const count = live + most + lost.length;
    await until('those that were lost come once more', () => hits.length === count);
    const isLost = new Set(lost);
    const [second, ...others] = hits.slice(live).filter((hit) => !isLost.has(hit));
    if (second !== undefined) sayFull(second);
    for (const hit of others) void echo(hit);
    const codes = await Promise.all(calls);
    t.is(codes.filter((code) => code === '0').length, most - 1);
    t.is(hits.length, count, 'who was told no twice is not tried a third time');
  });
}

test('an inference that may not run twice is not tried again after a status', async (t) => {
  const { caller, hits } = await scriptedCluster(t, sayFull, { isIdempotent: false });
  t.is((await caller.send([SMALL])).status, UNAVAILABLE);
  t.is(hits.length, 1);
});

test('that a node does not have the model says nothing while another is suspected', async (t) => {
  let isLost = false;
  const script = ({ node, stream, cut, ...hit }: Hit): void => {
    if (node === 1) {
      const status = String(Code.NOT_FOUND);
      stream.respond({ ...GRPC_HEAD, 'grpc-status': status }, { endStream: true });
    } else if (isLost) void echo({ node, stream, cut, ...hit });
    else {
      isLost = true;
      cut();
    }
  };
  const { caller } = await scriptedCluster(t, script, { isIdempotent: false });
  while (!isLost) t.is((await caller.send([SMALL])).status, UNAVAILABLE);
  t.is((await caller.send([SMALL])).status, '0', 'it waits for the one that was lost');
});
