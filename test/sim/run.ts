// One run of a seed: a cluster starts, models are published, calls come, faults happen and end;
// then everything has to be as wanted again.

import type { Breach } from './checks.ts';
import { Cluster } from './cluster.ts';
import { convergence } from './convergence.ts';
import { type Fault, planFaults, startFaults } from './faults.ts';
import { Operator } from './operator.ts';
import { NOTHING_PLANTED, type Planted } from './planted.ts';
import { Random } from './random.ts';
import { type Tally, Traffic } from './traffic.ts';
import { World } from './world.ts';

/** Faults begin when the cluster stands, and all have ended by then. */
const FAULTS_FROM_MS = 8_000;
const FAULTS_UNTIL_MS = 42_000;
/** So long it may take until all is as wanted. */
const CONVERGED_BY_MS = 60_000;
const END_MS = 62_000;
const STREAMS = { size: 10, faults: 11, operator: 12, traffic: 13, last: 14 } as const;

export interface RunOptions {
  readonly seed: number;
  readonly planted?: Planted;
  readonly write?: ((line: string) => void) | undefined;
  /** Places in the plan of faults that are left out. */
  readonly without?: ReadonlySet<number>;
}

export interface RunResult {
  readonly seed: number;
  readonly breaches: readonly Breach[];
  readonly hash: string;
  readonly faults: readonly Fault[];
  readonly steps: number;
  readonly virtualMs: number;
  readonly calls: Tally;
}

export async function runSeed(options: RunOptions): Promise<RunResult> {
  const { seed, planted = NOTHING_PLANTED, write, without = new Set() } = options;
  const world = new World({ seed, planted, write });
  const stray = (reason: unknown): void => {
    const text = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
    world.checks.breach('no_accident', text);
  };
  process.on('unhandledRejection', stray);
  try {
    const size = sizeOf(world.random(STREAMS.size));
    const cluster = new Cluster(world, size);
    const planned = planFaults(world.random(STREAMS.faults), {
      fromMs: FAULTS_FROM_MS,
      untilMs: FAULTS_UNTIL_MS,
    });
    const faults = planned.filter((_, at) => !without.has(at));
    const traffic = new Traffic(cluster, world.random(STREAMS.traffic));
    await play(cluster, traffic, faults, size.models);
    // What was rejected and not handled is told in the next turn.
    await new Promise((resolve) => setImmediate(resolve));
    const { trace, checks, schedule } = world;
    const { breaches } = checks;
    return {
      ...{ seed, breaches, faults, hash: trace.hash, steps: schedule.steps },
      virtualMs: schedule.nowMs(),
      calls: traffic.tally,
    };
  } finally {
    process.off('unhandledRejection', stray);
  }
}

async function play(
  cluster: Cluster,
  traffic: Traffic,
  faults: readonly Fault[],
  models: number,
): Promise<void> {
  const { world } = cluster;
  const { schedule, checks } = world;
  const operator = new Operator(world, world.random(STREAMS.operator));
  try {
    cluster.start();
    const wishes = world.random(STREAMS.last);
    for (let at = 0; at < models; at += 1) {
      const copies = wishes.chance(0.5) ? 1 : 2;
      void operator.make(`model-${at}`, copies, wishes.chance(0.7));
    }
    traffic.run(wishes.between(3, 6), CONVERGED_BY_MS);
    startFaults(cluster, operator, { faults, random: (seed) => new Random(world.seed, seed) });
    await schedule.runUntil(CONVERGED_BY_MS);
    convergence(cluster, traffic);
    await schedule.runUntil(END_MS);
  } catch (thrown) {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    checks.breach('no_accident', text);
  }
}

function sizeOf(random: Random) {
  return {
    nodes: random.int(3, 5),
    routers: random.int(1, 2),
    controls: random.int(1, 2),
    models: random.int(3, 8),
  };
}
