// R10: Redis with Sentinel fails over again and again, half of the times as planned and half since
// its master was killed.
import { randomUUID } from 'node:crypto';
import { systemClock } from '../../../common/clock.ts';
import { createLog } from '../../../common/log.ts';
import { openRegistry } from '../../../registry/open.ts';
import type { SentinelGroup } from '../../support/redis-groups.ts';
import { pause, untilTrue } from '../../support/redis-server.ts';
import { USUAL_CLUSTER } from '../cluster.ts';
import { atMost, type Criterion, type Fault, none } from '../fault.ts';

const FULL_TIMES = 20;
const SHORT_TIMES = 2;
const RESUME_MS = 10_000;
const WRITE_EACH_MS = 100;
const WRITE_TTL_MS = 60_000;
/** Sentinels look at what came back before they take the next order. */
const FOUND_AGAIN_MS = 60_000;

export const sentinelFailOver: Fault = {
  id: 'R10',
  title: 'Redis fails over (Sentinel)',
  async run(stage, form) {
    const times = form === 'full' ? FULL_TIMES : SHORT_TIMES;
    const cluster = await stage.ownCluster({ ...USUAL_CLUSTER, registry: 'sentinel' });
    const { sentinel } = cluster.surroundings;
    if (sentinel === undefined) throw new Error('there is no Sentinel');
    const writer = writeRegistry(sentinel.address);
    stage.teardown(() => writer.end());
    const load = await stage.load(cluster);
    const gaps: number[] = [];
    for (let time = 0; time < times; time += 1) {
      const isPlanned = time % 2 === 0;
      await pause(1_000);
      writer.longestGapMs();
      if (isPlanned) await sentinel.failOver();
      else await killMaster(sentinel);
      await writer.untilWritten();
      const gapMs = writer.longestGapMs();
      gaps.push(gapMs);
      const how = isPlanned ? 'planned' : 'master killed';
      stage.note(`${time + 1} of ${times}, ${how}: writes resumed after ${Math.round(gapMs)} ms`);
    }
    await cluster.untilReady();
    await load.stop();
    const { book, startMs } = load;
    const all = book.figures();
    const words = book.failureWords(startMs);
    const criteria: Criterion[] = [
      none('wrong answers: 0', all.wrong, `${all.calls} calls`, words),
      none('failed predictions: 0', all.failed, `${all.calls} calls`, words),
      atMost('writes resume: <= 10 s', Math.max(...gaps) / 1_000, RESUME_MS / 1_000, 's at most'),
    ];
    const deed = `${times} fail-overs, every second one since the master was killed`;
    return { deed, criteria };
  },
};

/** Comes back as a replica of whom the sentinels made master. */
async function killMaster(sentinel: SentinelGroup): Promise<void> {
  const master = await sentinel.master();
  await master.kill();
  await untilTrue('another master', async () => (await sentinel.master()) !== master);
  await master.start();
  await untilTrue(
    'what was the master is a replica',
    async () => (await master.ask('INFO', 'replication')).includes('master_link_status:up'),
    FOUND_AGAIN_MS,
  );
}

interface RegistryWriter {
  /** A write that began from now on has been answered. */
  untilWritten(): Promise<void>;
  /** Between two writes that were answered, since it was asked last. */
  longestGapMs(): number;
  end(): Promise<void>;
}

/** Writes a lease through the product's own client, as leaders and nodes write theirs. */
function writeRegistry(address: string): RegistryWriter {
  const log = createLog({ role: 'chaos', level: 'silent' });
  const registry = openRegistry(address, { clock: systemClock, log });
  const owner = randomUUID();
  let [isOver, written, lastMs, longestMs] = [false, 0, performance.now(), 0];
  const writing = (async () => {
    while (!isOver) {
      const lease = { name: `chaos-${owner}`, owner, epoch: 1 };
      const beganMs = performance.now();
      const isOurs = await registry.acquireLease(lease, WRITE_TTL_MS).catch(() => false);
      if (isOurs) {
        written += 1;
        longestMs = Math.max(longestMs, performance.now() - lastMs);
        lastMs = performance.now();
      }
      await pause(Math.max(0, beganMs + WRITE_EACH_MS - performance.now()));
    }
  })();
  return {
    async untilWritten() {
      const until = written + 2;
      await untilTrue('a write is answered', () => written >= until, FOUND_AGAIN_MS);
    },
    longestGapMs() {
      const gapMs = longestMs;
      longestMs = 0;
      return gapMs;
    },
    async end() {
      isOver = true;
      await writing;
      await registry.close();
    },
  };
}
