// The thread that fuzzes: apart from the one that watches it, so that a loop without an end or a
// heap without one is seen and told with its seed.
import { parentPort, workerData } from 'node:worker_threads';
import { runCampaign } from './campaign.ts';
import type { FuzzTarget } from './fuzz-target.ts';

/** Given to the thread. */
export interface ThreadWork {
  /** A module whose `targets` are fuzzed: as a file URL. */
  readonly module: string;
  /** All of them, or one. */
  readonly only: string | undefined;
  readonly seed: number;
  /** One input of one target, told by a failure. */
  readonly path: string | undefined;
  readonly durationMs: number;
  /** Index of the target, its seed, and how many batches there have been. */
  readonly cells: SharedArrayBuffer;
}

async function work(): Promise<void> {
  const { module, only, seed, path, durationMs, cells } = workerData as ThreadWork;
  const shared = new Int32Array(cells);
  const loaded = (await import(module)) as { targets: readonly FuzzTarget[] };
  const targets = loaded.targets.filter(({ name }) => only === undefined || name === only);
  const onBatch = (target: FuzzTarget, batchSeed: number): void => {
    Atomics.store(shared, 0, loaded.targets.indexOf(target));
    Atomics.store(shared, 1, batchSeed);
    Atomics.add(shared, 2, 1);
  };
  const [first] = targets;
  if (path !== undefined && first !== undefined) {
    onBatch(first, seed);
    const { runs, failure } = await first.run({ seed, runs: first.runsPerBatch, path });
    parentPort?.postMessage([{ target: first.name, runs, spentMs: 0, failure }]);
    return;
  }
  const nowMs = (): number => performance.now();
  parentPort?.postMessage(await runCampaign({ targets, seed, durationMs, nowMs, onBatch }));
}

await work();
