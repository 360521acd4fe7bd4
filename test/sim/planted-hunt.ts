// Looks for planted bugs: each is put into the product, and seeds are run until one of the rules
// that it breaks tells. A bug that no seed finds is a hole in the checks, or in the faults.
import type { PlantedBug } from './planted-bugs.ts';
import { runSeeds } from './seed-pool.ts';

export interface Hunt {
  readonly bug: string;
  readonly what: string;
  /** The seed that found it; undefined: none did. */
  readonly foundBy: number | undefined;
  readonly rule: string;
  readonly text: string;
  readonly seedsRun: number;
}

export interface HuntOptions {
  readonly bugs: readonly PlantedBug[];
  readonly from: number;
  readonly seeds: number;
  readonly workers: number;
  readonly onHunt?: (done: number, name: string) => void;
}

export async function huntPlanted(options: HuntOptions): Promise<readonly Hunt[]> {
  const hunts: Hunt[] = [];
  for (const bug of options.bugs) {
    options.onHunt?.(hunts.length, bug.name);
    hunts.push(await hunt(bug, options));
  }
  return hunts;
}

async function hunt(bug: PlantedBug, options: HuntOptions): Promise<Hunt> {
  const { from, seeds: count, workers } = options;
  let seedsRun = 0;
  let found: { readonly seed: number; readonly rule: string; readonly text: string } | undefined;
  await runSeeds({
    ...{ from, count, workers, bug: bug.name },
    onResult({ seed, breaches }) {
      seedsRun += 1;
      const breach = breaches.find(({ rule }) => bug.breaks.includes(rule));
      if (breach !== undefined) found = { seed, rule: breach.rule, text: breach.text };
      return found === undefined;
    },
  });
  const { name, what } = bug;
  const { seed: foundBy, rule = '', text = '' } = found ?? {};
  return { bug: name, what, foundBy, rule, text, seedsRun };
}
