// Runs a campaign in a thread and watches it: what hangs, ends the thread or fills its heap is a
// failure like any other, with the target and the seed of the batch.
import { Worker } from 'node:worker_threads';
import type { TargetTally } from './campaign.ts';
import type { ThreadWork } from './fuzz-thread.ts';

/** A batch takes a fraction of a second, and making a failing input smaller 35 s at most. */
const HANG_MS = 60_000;
/** Targets keep nothing: a heap that grows beyond this leaks. */
const HEAP_MB = 768;

export interface WatchedOptions extends Omit<ThreadWork, 'cells' | 'module'> {
  readonly module: URL;
  /** Of all targets in the module, in its order. */
  readonly names: readonly string[];
  readonly hangMs?: number;
  readonly heapMb?: number;
}

export function runWatched(options: WatchedOptions): Promise<readonly TargetTally[]> {
  const { module, names, hangMs = HANG_MS, heapMb = HEAP_MB, ...rest } = options;
  const cells = new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT);
  const shared = new Int32Array(cells);
  const workerData: ThreadWork = { ...rest, module: module.href, cells };
  const thread = new Worker(new URL('./fuzz-thread.ts', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
  });
  const broken = (what: string): readonly TargetTally[] => {
    const target = names[Atomics.load(shared, 0)] ?? 'unknown';
    const failure = { target, seed: Atomics.load(shared, 1), path: '', report: what };
    return [{ target, runs: 0, spentMs: 0, failure }];
  };
  return new Promise((resolve) => {
    let [seen, seenMs] = [-1, performance.now()];
    const watch = setInterval(() => {
      const batches = Atomics.load(shared, 2);
      if (batches !== seen) [seen, seenMs] = [batches, performance.now()];
      else if (performance.now() - seenMs > hangMs) {
        finish(broken(`hangs: no end of a batch in ${hangMs} ms`));
      }
    }, 250);
    const finish = (tallies: readonly TargetTally[]): void => {
      clearInterval(watch);
      resolve(thread.terminate().then(() => tallies));
    };
    thread.once('message', finish);
    thread.once('error', (error) => finish(broken(`ends its thread: ${error.stack ?? error}`)));
    thread.once('exit', (code) => finish(broken(`ends its thread with code ${code}`)));
  });
}
