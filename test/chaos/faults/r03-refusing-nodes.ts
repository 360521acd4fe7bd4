// R3: every node answers UNAVAILABLE to every call: what is tried again then makes it worse. A
// listener of the test in front of each node says so; the nodes are real.
import { pause } from '../../support/redis-server.ts';
import { type ChaosCluster, USUAL_CLUSTER } from '../cluster.ts';
import { atMost, type Criterion, type Fault, none, type Stage } from '../fault.ts';
import { listeningPort } from '../member.ts';
import { type RefusingFront, refusingFront } from '../refusing-front.ts';
import { slowerThan } from '../slowness.ts';

const FULL = { beforeMs: 10_000, refusingMs: 30_000, afterMs: 10_000 };
const SHORT = { beforeMs: 3_000, refusingMs: 4_000, afterMs: 3_000 };
const NORMAL_MS = 5_000;
const MOST_ATTEMPTS = 1.2;

export const refusingNodes: Fault = {
  id: 'R3',
  title: 'all nodes answer UNAVAILABLE',
  async run(stage, form) {
    const { beforeMs, refusingMs, afterMs } = form === 'full' ? FULL : SHORT;
    const { cluster, fronts } = await frontedCluster(stage);
    const load = await stage.load(cluster);
    const { book } = load;
    const attempts = (): number => fronts.reduce((sum, front) => sum + front.attempts(), 0);
    await pause(beforeMs);
    const [fromMs, before] = [performance.now(), attempts()];
    for (const front of fronts) front.refuse(true);
    await pause(refusingMs);
    const [toMs, after] = [performance.now(), attempts()];
    for (const front of fronts) front.refuse(false);
    await pause(NORMAL_MS + afterMs);
    await load.stop();
    const baseline = book.figures({ fromMs: load.startMs + beforeMs / 5, toMs: fromMs });
    const refused = book.figures({ fromMs, toMs });
    const then = book.figures({ fromMs: toMs + NORMAL_MS });
    const ratio = (after - before) / Math.max(1, refused.calls);
    const all = book.figures();
    const offered = `x the ${refused.calls} calls offered (${refused.failed} failed)`;
    const criteria: Criterion[] = [
      none('wrong answers: 0', all.wrong, `${all.calls} calls`, book.failureWords(fromMs)),
      atMost('attempts at nodes: <= 1.2x offered', ratio, MOST_ATTEMPTS, offered),
      slowerThan('p99 from 5 s after: <= 2x', then, baseline, 2),
      none(
        'errors from 5 s after: 0',
        then.failed,
        `${then.calls} calls`,
        book.failureWords(toMs, ({ dueMs }) => dueMs >= toMs + NORMAL_MS),
      ),
    ];
    return { deed: `4 nodes answer UNAVAILABLE for ${refusingMs / 1_000} s`, criteria };
  },
};

/** Routers reach each node through a listener that can refuse. */
async function frontedCluster(stage: Stage): Promise<{
  readonly cluster: ChaosCluster;
  readonly fronts: readonly RefusingFront[];
}> {
  const fronts: RefusingFront[] = [];
  const flagsOf = new Map<string, readonly string[]>();
  for (let at = 1; at <= USUAL_CLUSTER.nodes; at += 1) {
    const [port, nodePort] = [await listeningPort(Math.random), await listeningPort(Math.random)];
    const front = await refusingFront(port, nodePort);
    stage.teardown(() => front.end());
    fronts.push(front);
    const flags = ['--node-port', String(nodePort), '--advertise', `127.0.0.1:${port}`];
    flagsOf.set(`node-${at}`, flags);
  }
  const cluster = await stage.ownCluster({
    ...USUAL_CLUSTER,
    flags: (_, id) => flagsOf.get(id) ?? [],
  });
  return { cluster, fronts };
}
