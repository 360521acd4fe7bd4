// R17: minutes of load and faults, after which the processes that lived through them hold what they
// held before. What a fault costs must not stay.
import { pause } from '../../support/redis-server.ts';
import type { ChaosClient } from '../clients.ts';
import { type ChaosCluster, USUAL_CLUSTER } from '../cluster.ts';
import { atMost, type Criterion, type Fault, type Form, none } from '../fault.ts';
import { heldBytes, INSPECTED } from '../inspected.ts';
import type { Load } from '../load.ts';
import type { Member } from '../member.ts';
import { metric } from '../observe.ts';
import { openFiles, rssBytes } from '../processes.ts';

const FULL_MINUTES = 20;
const SHORT = { rounds: 4, roundMs: 2_500 };
const MINUTE_MS = 60_000;
const RATE_PER_SECOND = 5_000;
/** Of a run that is too short for the runtime to have compiled all it will. */
const SHORT_GROWTH_BYTES = 16 * 2 ** 20;
const GROWTH_BYTES = 2 * 2 ** 20;
const RSS_GROWTH = 1.05;
/** Connections of a moment: to one that was just started again, or in a burst. */
const SLACK = 4;
const LOOK_MS = 2_000;
const FAULT_EACH_MS = 15_000;
const AWAY_MS = 500;
/** Of ours; one of @grpc/grpc-js beside them, which takes several times as long for a call. */
const OWN_CLIENTS = 19;

/** One process at the end of one round, with no call under way. */
interface Sample {
  readonly heldBytes: number;
  readonly files: number;
  readonly pending: number;
  /** The most in the round. */
  readonly rssBytes: number;
}

export const longRun: Fault = {
  id: 'R17',
  title: 'minutes of load and faults',
  async run(stage, form) {
    const minutes = stage.minutes ?? FULL_MINUTES;
    const { rounds, roundMs } = form === 'full' ? { rounds: minutes, roundMs: MINUTE_MS } : SHORT;
    const cluster = await stage.ownCluster({
      ...USUAL_CLUSTER,
      env: (role) => (role === 'ingest' ? {} : INSPECTED),
    });
    const steady = [...cluster.nodes.slice(0, 2), ...cluster.routers, ...cluster.controls];
    const clients = mixed(cluster);
    const samples: ReadonlyMap<string, Sample>[] = [];
    const totals = { calls: 0, wrong: 0, failed: 0, seconds: 0, words: '' };
    for (let round = 0; round < rounds; round += 1) {
      const load = await stage.load(cluster, { clients, ratePerSecond: RATE_PER_SECOND });
      const rss = await faultyRound(cluster, steady, roundMs, form);
      totals.seconds += (performance.now() - load.startMs) / 1_000;
      await load.stop();
      count(totals, load);
      await cluster.untilReady();
      samples.push(await sampled(steady, rss));
      stage.note(`round ${round + 1} of ${rounds}: ${totals.calls} calls, ${totals.failed} failed`);
    }
    const rate = totals.calls / totals.seconds;
    const of = `${totals.calls} calls`;
    const criteria: Criterion[] = [
      none('wrong answers: 0', totals.wrong, of, totals.words),
      none('failed calls: 0', totals.failed, of, totals.words),
      ...(form === 'full' ? [enough(rate)] : []),
      ...grown(steady, samples, form),
    ];
    return {
      deed: `${rounds} rounds of ${roundMs / 1_000} s at ${rate.toFixed(0)} calls/s`,
      criteria,
    };
  },
};

function enough(rate: number): Criterion {
  const measured = `${rate.toFixed(0)} calls/s`;
  return { promise: 'calls: >= 5,000 a second', measured, isKept: rate >= 0.99 * RATE_PER_SECOND };
}

function mixed(cluster: ChaosCluster): readonly ChaosClient[] {
  const [own, theirs] = cluster.clients();
  if (own === undefined || theirs === undefined) throw new Error('there are no clients');
  return [...Array.from({ length: OWN_CLIENTS }, () => own), theirs];
}

/** Disturbs all but the steady ones. @returns the most memory that each of these had */
async function faultyRound(
  cluster: ChaosCluster,
  steady: readonly Member[],
  roundMs: number,
  form: Form,
): Promise<ReadonlyMap<string, number>> {
  const rss = new Map<string, number>();
  const endMs = performance.now() + roundMs;
  let nextFaultMs = performance.now() + (form === 'full' ? FAULT_EACH_MS / 3 : roundMs / 3);
  for (let fault = 0; performance.now() < endMs; ) {
    for (const { id, process } of steady) {
      rss.set(id, Math.max(rss.get(id) ?? 0, await rssBytes(process.pid)));
    }
    if (performance.now() >= nextFaultMs) {
      nextFaultMs += FAULT_EACH_MS;
      await FAULTS_IN_TURN[fault % FAULTS_IN_TURN.length]?.(cluster);
      fault += 1;
    }
    await pause(Math.max(0, Math.min(LOOK_MS, endMs - performance.now())));
  }
  return rss;
}

const FAULTS_IN_TURN: readonly ((cluster: ChaosCluster) => Promise<void>)[] = [
  async ({ surroundings: { redis } }) => {
    await redis.kill();
    await pause(AWAY_MS);
    await redis.start();
  },
  async ({ nodes }) => {
    await nodes[2]?.kill();
    await pause(AWAY_MS);
    await nodes[2]?.start();
  },
  async ({ nodes }) => {
    nodes[3]?.pause();
    await pause(2 * AWAY_MS);
    nodes[3]?.resume();
  },
  async ({ surroundings: { redis } }) => void (await redis.ask('FLUSHALL')),
];

async function sampled(
  steady: readonly Member[],
  rss: ReadonlyMap<string, number>,
): Promise<ReadonlyMap<string, Sample>> {
  const samples = new Map<string, Sample>();
  for (const member of steady) {
    samples.set(member.id, {
      heldBytes: await heldBytes(member),
      files: await openFiles(member.process.pid),
      pending: member.role === 'node' ? await metric(member, PENDING) : 0,
      rssBytes: rss.get(member.id) ?? 0,
    });
  }
  return samples;
}

const PENDING = 'nv_inference_pending_request_count';

/** From the end of the first quarter to the last round. */
function grown(
  steady: readonly Member[],
  samples: readonly ReadonlyMap<string, Sample>[],
  form: Form,
): readonly Criterion[] {
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  return steady.flatMap(({ id }) => {
    const own = samples.flatMap((sample) => sample.get(id) ?? []);
    const [from, to] = [own[quarter - 1], own.at(-1)];
    if (from === undefined || to === undefined) throw new Error(`there are no samples of ${id}`);
    const limit = form === 'full' ? GROWTH_BYTES : SHORT_GROWTH_BYTES;
    const most = (some: readonly Sample[]) => Math.max(...some.map(({ rssBytes }) => rssBytes));
    const ratio = most(own.slice(-quarter)) / most(own.slice(quarter, 2 * quarter));
    const megabytes = (bytes: number): number => bytes / 2 ** 20;
    return [
      atMost(
        `${id}: held after GC grows: <= ${megabytes(limit)} MB`,
        megabytes(to.heldBytes - from.heldBytes),
        megabytes(limit),
        `MB, from ${megabytes(from.heldBytes).toFixed(1)} MB`,
      ),
      ...(form === 'full' ? [atMost(`${id}: most RSS: <= 1.05x`, ratio, RSS_GROWTH, 'x')] : []),
      atMost(`${id}: open files: no more`, to.files, from.files + SLACK, `, ${from.files} before`),
      atMost(`${id}: calls under way: no more`, to.pending, from.pending),
    ];
  });
}

function count(
  totals: { calls: number; wrong: number; failed: number; words: string },
  { book, startMs }: Load,
): void {
  const { calls, wrong, failed } = book.figures();
  totals.calls += calls;
  totals.wrong += wrong;
  totals.failed += failed;
  if (wrong + failed > 0 && totals.words === '') totals.words = book.failureWords(startMs);
}
