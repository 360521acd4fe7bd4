// Which target is fuzzed next, with which seed: all get their share of the time. Each batch has a
// seed of its own, so that a batch can be run again alone.
import type { Failure, FuzzTarget } from './fuzz-target.ts';

export interface CampaignOptions {
  readonly targets: readonly FuzzTarget[];
  /** Of the first batch of every target; the next batches count up from it. */
  readonly seed: number;
  readonly durationMs: number;
  readonly nowMs: () => number;
  /** Right before a batch: who never hears again knows what hangs. */
  onBatch(target: FuzzTarget, seed: number): void;
}

export interface TargetTally {
  readonly target: string;
  runs: number;
  spentMs: number;
  failure: Failure | undefined;
}

const SEEDS = 2 ** 31;

interface Entry {
  readonly target: FuzzTarget;
  readonly tally: TargetTally;
  batches: number;
}

/** Runs every target once at least; one that has failed is not run again. */
export async function runCampaign(options: CampaignOptions): Promise<readonly TargetTally[]> {
  const { targets, nowMs } = options;
  const entries = targets.map((target): Entry => {
    const tally = { target: target.name, runs: 0, spentMs: 0, failure: undefined };
    return { target, tally, batches: 0 };
  });
  const endMs = nowMs() + options.durationMs;
  for (let entry = nextOf(entries); entry !== undefined; entry = nextOf(entries)) {
    if (entry.batches > 0 && nowMs() >= endMs) break;
    const { target, tally } = entry;
    const seed = (options.seed + entry.batches) % SEEDS;
    entry.batches += 1;
    options.onBatch(target, seed);
    const startMs = nowMs();
    const { runs, failure } = await target.run({ seed, runs: target.runsPerBatch });
    tally.spentMs += nowMs() - startMs;
    tally.runs += runs;
    tally.failure = failure;
  }
  return entries.map(({ tally }) => tally);
}

/** Who has had the least of its share. */
function nextOf(entries: readonly Entry[]): Entry | undefined {
  let next: Entry | undefined;
  for (const entry of entries) {
    if (entry.tally.failure !== undefined) continue;
    if (next === undefined || had(entry) < had(next)) next = entry;
  }
  return next;
}

function had({ batches, tally, target }: Entry): number {
  return batches === 0 ? -1 : tally.spentMs / target.share;
}
