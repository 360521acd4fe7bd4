// R2: a node stands still (SIGSTOP): its connections stay open and nothing answers on them, as when
// a host hangs. Later it goes on as if nothing had happened.
import { pause, untilTrue } from '../../support/redis-server.ts';
import type { ChaosCluster } from '../cluster.ts';
import { atMost, type Criterion, type Fault, none } from '../fault.ts';
import type { Member } from '../member.ts';
import { unreadBytes } from '../observe.ts';
import { slowerThan } from '../slowness.ts';

const FULL = { beforeMs: 10_000, stillMs: 30_000, afterMs: 10_000 };
const SHORT = { beforeMs: 3_000, stillMs: 6_000, afterMs: 3_000 };
const NO_NEW_CALL_MS = 2_000;
const NORMAL_MS = 3_000;
const LOOK_MS = 100;
const BACK_MS = 5_000;
/** A ping is 17 bytes and comes every 500 ms; a call is some 150 bytes. */
const PINGS_BYTES_PER_SECOND = 100;

export const stoppedNode: Fault = {
  id: 'R2',
  title: 'a node stands still (SIGSTOP)',
  async run(stage, form) {
    const { beforeMs, stillMs, afterMs } = form === 'full' ? FULL : SHORT;
    const cluster = await stage.cluster();
    const load = await stage.load(cluster);
    const { book } = load;
    await pause(beforeMs);
    const node = await cluster.onlyHolder();
    const port = Number(node.process.at.grpc?.split(':')[1]);
    const stopMs = performance.now();
    node.pause();
    stage.teardown(async () => node.resume());
    const sentEarly = await newlyUnread(port, NO_NEW_CALL_MS);
    const sentLate = await newlyUnread(port, stillMs - NO_NEW_CALL_MS);
    const goOnMs = performance.now();
    node.resume();
    const backMs = (await untilBack(cluster, node)) - goOnMs;
    await pause(goOnMs + BACK_MS + afterMs - performance.now());
    await load.stop();
    const baseline = book.figures({ fromMs: load.startMs + beforeMs / 5, toMs: stopMs });
    const during = book.figures({ fromMs: stopMs + NORMAL_MS, toMs: goOnMs });
    const after = book.figures({ fromMs: goOnMs + BACK_MS });
    const all = book.figures();
    const lateSeconds = (stillMs - NO_NEW_CALL_MS) / 1_000;
    const words = book.failureWords(stopMs);
    const criteria: Criterion[] = [
      none('wrong answers: 0', all.wrong, `${all.calls} calls`, words),
      none('errors (5 s of deadline): 0', all.failed, `${all.calls} calls`, words),
      atMost(
        'bytes sent to it after 2 s: pings alone',
        sentLate / lateSeconds,
        PINGS_BYTES_PER_SECOND,
        `bytes/s, and ${sentEarly} bytes before`,
      ),
      slowerThan('p99 from 3 s on: <= 2x', during, baseline, 2),
      atMost('back after SIGCONT: <= 5 s', backMs / 1_000, BACK_MS / 1_000, 's'),
      slowerThan('p99 when it is back: <= 2x', after, baseline, 2),
    ];
    return { deed: `a node of 4 stands still for ${stillMs / 1_000} s`, criteria };
  },
};

/** Bytes that came for a process that reads nothing; what goes with a connection still counts. */
async function newlyUnread(port: number, forMs: number): Promise<number> {
  const endMs = performance.now() + forMs;
  let [sum, last] = [0, await unreadBytes(port)];
  while (performance.now() < endMs) {
    await pause(Math.min(LOOK_MS, endMs - performance.now()));
    const now = await unreadBytes(port);
    sum += Math.max(0, now - last);
    last = now;
  }
  return sum;
}

/** The moment at which the cluster counts it in again, and it has its copies. */
async function untilBack(cluster: ChaosCluster, { id }: Member): Promise<number> {
  await untilTrue(`${id} is back`, async () => {
    const { nodes } = await cluster.status();
    return nodes.some((node) => node.id === id && node.state === 'NODE_STATE_SERVING');
  });
  await cluster.untilReady();
  return performance.now();
}
