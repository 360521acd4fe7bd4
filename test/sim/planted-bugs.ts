// The bugs that are planted on purpose, by name: each is a bug that somebody could write, and the
// rules that it breaks. The simulation has to find every one of them.
import type { Rule } from './checks.ts';
import type { Planted } from './planted.ts';

export interface PlantedBug {
  readonly name: string;
  readonly what: string;
  /** One of these tells it. */
  readonly breaks: readonly Rule[];
  /** Anew for each run: a bug may have a memory. */
  readonly plant: () => Planted;
}

export const PLANTED_BUGS: readonly PlantedBug[] = [];

/** @throws when there is none of that name */
export function plantedBug(name: string): PlantedBug {
  const found = PLANTED_BUGS.find((bug) => bug.name === name);
  if (found === undefined) throw new Error(`there is no planted bug '${name}'`);
  return found;
}
