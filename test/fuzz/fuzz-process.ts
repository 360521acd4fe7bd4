// The process that fuzzes: apart from the one that watches it, so that a loop without an end, a
// heap without one or a failed assertion of node's native part is seen and told with its seed.
import { runCampaign, type TargetTally } from './campaign.ts';
import type { FuzzTarget } from './fuzz-target.ts';

/** Given to the process, as JSON. */
export interface FuzzWork {
  /** A module whose `targets` are fuzzed: as a file URL. */
  readonly module: string;
  /** All of them, or one. */
  readonly only: string | undefined;
  readonly seed: number;
  /** One input of one target, told by a failure. */
  readonly path: string | undefined;
  readonly durationMs: number;
}

/** What it tells: each batch right before it, and at the end how all went. */
export type FuzzNews =
  | { readonly target: string; readonly seed: number }
  | { readonly tallies: readonly TargetTally[] };

function tell(news: FuzzNews): void {
  process.send?.(news);
}

async function work({ module, only, seed, path, durationMs }: FuzzWork): Promise<void> {
  const loaded = (await import(module)) as { targets: readonly FuzzTarget[] };
  const targets = loaded.targets.filter(({ name }) => only === undefined || name === only);
  const onBatch = ({ name }: FuzzTarget, batchSeed: number): void =>
    tell({ target: name, seed: batchSeed });
  const [first] = targets;
  if (path !== undefined && first !== undefined) {
    onBatch(first, seed);
    const { runs, failure } = await first.run({ seed, runs: first.runsPerBatch, path });
    tell({ tallies: [{ target: first.name, runs, spentMs: 0, failure }] });
    return;
  }
  const nowMs = (): number => performance.now();
  tell({ tallies: await runCampaign({ targets, seed, durationMs, nowMs, onBatch }) });
}

process.on('disconnect', () => process.exit(0));
await work(JSON.parse(process.argv[2] ?? '') as FuzzWork);
