// What the bench runs: one file of bench/ each.
import type { Outcome } from './outcome.ts';
import type { Stage } from './stage.ts';

export interface Workload {
  /** For --only. */
  readonly name: string;
  readonly title: string;
  /** What is measured, and why the comparison is fair. */
  readonly about: string;
  /** Only our own servers run: no rival has to be built for it. */
  readonly isAlone?: boolean;
  run(stage: Stage): Promise<Outcome>;
}
