// R15: the network fails as networks do: one direction of a host's goes silent, chunks are held as
// by losses of a third, connections are reset. Proxies of the test stand between the processes.
import { type Faults, losses } from '../../support/fault-proxy.ts';
import { pause, untilTrue } from '../../support/redis-server.ts';
import type { ChaosCluster } from '../cluster.ts';
import { atMost, type Criterion, type Fault, none } from '../fault.ts';
import { type FaultyNetwork, faultyNetwork } from '../faulty-network.ts';
import { leaders, theLeader, watchLeadership } from '../leadership.ts';
import type { Load } from '../load.ts';
import type { Member } from '../member.ts';
import { slowerThan } from '../slowness.ts';

const FULL = { beforeMs: 8_000, silentMs: 15_000, afterMs: 4_000, badMs: 25_000 };
const SHORT = { beforeMs: 2_000, silentMs: 4_000, afterMs: 2_000, badMs: 4_000 };
const NORMAL_MS = 3_000;
const BACK_MS = 5_000;
const MOST_LOST_SHARE = 0.001;
const FIRST_HOLD_MS = 200;
const LOSS_SHARE = 0.3;
/**
 * Up to here, 1.6 s, a call gets through by its deadline. Beyond it each connection stands still
 * most of the time, at some 50 chunks a second on it: no way is left, and that is judged by its
 * answers alone.
 */
const MOST_LOSSES = 3;
const RESETS_PER_SECOND = 0.01;

interface Stretch {
  readonly what: string;
  readonly fromMs: number;
  readonly toMs: number;
}

export const badNetwork: Fault = {
  id: 'R15',
  title: 'the network goes silent one way, holds, resets',
  async run(stage, form) {
    const { beforeMs, silentMs, afterMs, badMs } = form === 'full' ? FULL : SHORT;
    const network = await faultyNetwork(stage, 2);
    const { cluster } = network;
    const watch = watchLeadership(`redis://127.0.0.1:${cluster.surroundings.redis.port}`);
    stage.teardown(() => watch.end());
    const load = await stage.load(cluster);
    await pause(beforeMs);
    const before = load.book.figures({ fromMs: load.startMs + beforeMs / 5 });
    const stretches: Stretch[] = [];
    const criteria: Criterion[] = [];
    const hosts = [
      { what: 'mute node', of: () => cluster.onlyHolder(), fail: network.mute },
      { what: 'deaf node', of: () => cluster.onlyHolder(), fail: network.deafen },
      { what: 'mute leader', of: () => theLeader(cluster), fail: network.mute },
      { what: 'deaf leader', of: () => theLeader(cluster), fail: network.deafen },
    ];
    for (const { what, of, fail } of form === 'full' ? hosts : hosts.slice(0, 1)) {
      const member = await of();
      const fromMs = performance.now();
      fail(member);
      await pause(silentMs);
      if (member.role === 'control') criteria.push(await takenOver(what, cluster, member));
      const healMs = performance.now();
      network.setAll({});
      const backMs = (await untilWhole(cluster)) - healMs;
      await pause(afterMs);
      stage.note(`${what}: ${member.id}, whole again after ${(backMs / 1_000).toFixed(1)} s`);
      stretches.push({ what, fromMs, toMs: performance.now() });
      if (member.role !== 'node') continue;
      const during = load.book.figures({ fromMs: fromMs + NORMAL_MS, toMs: healMs });
      criteria.push(slowerThan(`${what}: p99 from 3 s on: <= 2x`, during, before, 2));
      criteria.push(atMost(`${what}: back: <= 5 s`, backMs / 1_000, BACK_MS / 1_000, 's'));
    }
    const holdMs = losses(FIRST_HOLD_MS, LOSS_SHARE, Math.random, MOST_LOSSES);
    stretches.push(await bad(network, 'held chunks', { holdMs }, badMs));
    const resets = { resetsPerSecond: RESETS_PER_SECOND };
    stretches.push(await bad(network, 'resets', resets, badMs));
    const noLimitMs = losses(FIRST_HOLD_MS, LOSS_SHARE, Math.random);
    const worst = await bad(network, 'chunks held without end', { holdMs: noLimitMs }, badMs / 2);
    await pause(afterMs);
    await load.stop();
    criteria.push(...stretches.flatMap((stretch) => kept(stretch, load, form === 'full')));
    const { calls, wrong, failed } = load.book.figures(worst);
    const of = `${calls} calls, of which ${failed} failed`;
    criteria.push(none(`${worst.what}: wrong answers: 0`, wrong, of));
    criteria.push(none('shards set back by an old leader: 0', watch.setBacks(), 'all looks'));
    const deed =
      `hosts silent one way for ${silentMs / 1_000} s each; chunks held, then ` +
      `${network.resets()} connections reset, for ${badMs / 1_000} s each`;
    return { deed, criteria };
  },
};

/** On all ways. */
async function bad(
  network: FaultyNetwork,
  what: string,
  faults: Partial<Faults>,
  badMs: number,
): Promise<Stretch> {
  const fromMs = performance.now();
  network.setAll(faults);
  await pause(badMs);
  network.setAll({});
  await untilWhole(network.cluster);
  return { what, fromMs, toMs: performance.now() };
}

/** As for nodes that are killed: R1. */
function kept({ what, fromMs, toMs }: Stretch, { book, options }: Load, isFull: boolean) {
  const all = book.figures({ fromMs, toMs });
  const hasTwo = (model: number): boolean => (options.models[model]?.copies ?? 0) > 1;
  const double = book.figures({ fromMs, toMs, model: hasTwo });
  const single = book.figures({ fromMs, toMs, model: (model) => !hasTwo(model) });
  const words = book.failureWords(fromMs, ({ dueMs }) => dueMs >= fromMs && dueMs < toMs);
  const share = single.failed / Math.max(1, single.calls);
  const ofOne: Criterion = {
    promise: `${what}: errors of models with 1 copy: <= 0.1%`,
    measured: `${single.failed} of ${single.calls} calls`,
    isKept: share <= MOST_LOST_SHARE,
  };
  return [
    none(`${what}: wrong answers: 0`, all.wrong, `${all.calls} calls`, words),
    none(`${what}: errors with 2 copies: 0`, double.failed, `${double.calls} calls`, words),
    // Of a few seconds it would be a share of too few calls.
    ...(isFull ? [ofOne] : []),
  ];
}

async function takenOver(what: string, cluster: ChaosCluster, old: Member): Promise<Criterion> {
  const found = await leaders(cluster);
  const isOther = found.length === 1 && !found.includes(old);
  const names = found.map(({ id }) => id).join(', ');
  return { promise: `${what}: another leads, it does not`, measured: names, isKept: isOther };
}

/** The moment from which on all nodes are there and have their copies. */
async function untilWhole(cluster: ChaosCluster): Promise<number> {
  await untilTrue('one leads', async () => (await leaders(cluster)).length === 1);
  await cluster.untilReady();
  return performance.now();
}
