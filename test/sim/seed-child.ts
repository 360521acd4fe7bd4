// A child process of the simulation: runs the seeds that it is given, one after the other, and
// tells what became of each.
import { plantedBug } from './planted-bugs.ts';
import { type RunResult, runSeed } from './run.ts';

/** Seeds from `from` on, `count` of them. */
export interface SeedWork {
  readonly from: number;
  readonly count: number;
  /** Name of a planted bug; undefined: the product as it is. */
  readonly bug: string | undefined;
}

process.on('message', async ({ from, count, bug }: SeedWork) => {
  const results: RunResult[] = [];
  const planted = bug === undefined ? undefined : plantedBug(bug).plant;
  for (let seed = from; seed < from + count; seed += 1) {
    results.push(await runSeed({ seed, ...(planted === undefined ? {} : { planted: planted() }) }));
  }
  process.send?.(results);
});
process.on('disconnect', () => process.exit(0));
