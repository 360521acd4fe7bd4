// Who leads, and under which epoch the assignment is written, looked at all the while in the
// registry itself: an epoch that goes back, or one too many, is seen.
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { openRegistry } from '../../registry/open.ts';
import { pause } from '../support/redis-server.ts';
import type { ChaosCluster } from './cluster.ts';
import type { Member } from './member.ts';
import { metric } from './observe.ts';

const LOOK_MS = 100;

export interface Leadership {
  /** Epochs under which someone held the lease, in the order seen. */
  epochs(): readonly number[];
  /** Shards seen under an older epoch or revision than before: an old leader was obeyed. */
  setBacks(): number;
  end(): Promise<void>;
}

export function watchLeadership(registryAddress: string): Leadership {
  const log = createLog({ role: 'chaos', level: 'silent' });
  const registry = openRegistry(registryAddress, { clock: systemClock, log });
  const epochs: number[] = [];
  const newest = new Map<number, { readonly epoch: number; readonly revision: number }>();
  let [isOver, setBacks] = [false, 0];
  const look = async (): Promise<void> => {
    const epoch = (await registry.lease('leader'))?.epoch;
    if (epoch !== undefined && epoch !== epochs.at(-1)) epochs.push(epoch);
    for (const { index, ...now } of await registry.shardRevisions()) {
      const last = newest.get(index) ?? now;
      const isOlder =
        now.epoch < last.epoch || (now.epoch === last.epoch && now.revision < last.revision);
      if (isOlder) setBacks += 1;
      newest.set(index, now);
    }
  };
  const looking = (async () => {
    while (!isOver) {
      await look().catch(() => undefined);
      await pause(LOOK_MS);
    }
  })();
  return {
    epochs: () => epochs,
    setBacks: () => setBacks,
    async end() {
      isOver = true;
      await looking;
      await registry.close();
    },
  };
}

/** The control processes that say that they lead, now. */
export async function leaders({ controls }: ChaosCluster): Promise<readonly Member[]> {
  const says = await Promise.all(
    controls.map((control) => metric(control, 'torus_leader').catch(() => 0)),
  );
  return controls.filter((_, at) => says[at] === 1);
}

/** @throws unless exactly one leads */
export async function theLeader(cluster: ChaosCluster): Promise<Member> {
  const found = await leaders(cluster);
  const [leader] = found;
  if (leader === undefined || found.length > 1) throw new Error(`${found.length} leaders`);
  return leader;
}
