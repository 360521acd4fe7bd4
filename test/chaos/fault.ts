// What a fault is to `npm run chaos`: something done to a real cluster under load, and what has to
// hold then, each with its figure. Each fault is a file of faults/, named in all-faults.ts.
import type { ChaosCluster, ClusterOptions } from './cluster.ts';
import type { Load, LoadOptions } from './load.ts';

/** 'full': with the times and counts of the promise; 'short': at most 15 s, for every change. */
export type Form = 'full' | 'short';

export interface Criterion {
  /** What has to hold: 'errors of models with 2 copies: 0'. */
  readonly promise: string;
  /** What was seen: '0 of 151,230 calls'. */
  readonly measured: string;
  readonly isKept: boolean;
}

export interface Outcome {
  /** What was done: '30 nodes killed, one each 10 s, at 400 calls/s'. */
  readonly deed: string;
  readonly criteria: readonly Criterion[];
}

/** Thrown where the machine lacks what a fault needs: it is skipped, and that is told. */
export class NotHere extends Error {}

export interface Fault {
  /** 'R1' */
  readonly id: string;
  readonly title: string;
  /** @throws what kept it from being judged: it counts as a failure */
  run(stage: Stage, form: Form): Promise<Outcome>;
}

/** What a fault works with; everything of it is ended behind the fault, but for shared clusters. */
export interface Stage {
  /**
   * A whole cluster, all its models READY, that faults with the same options share: it has to be
   * left so that it can become whole again by itself.
   */
  cluster(options?: ClusterOptions): Promise<ChaosCluster>;
  /** One of the fault's own. */
  ownCluster(options: ClusterOptions): Promise<ChaosCluster>;
  /** Begins to call; its rate is half of what the cluster was measured to take, within a limit. */
  load(cluster: ChaosCluster, options?: Partial<LoadOptions>): Promise<Load>;
  /** How long a run of minutes is to be; undefined: as promised. */
  readonly minutes: number | undefined;
  /** For whoever looks on. */
  note(text: string): void;
  teardown(end: () => Promise<unknown>): void;
}

/** A criterion of a count that is to be 0. */
export function none(promise: string, count: number, of: string, detail = ''): Criterion {
  const measured = `${count} of ${of}${count > 0 && detail !== '' ? `: ${detail}` : ''}`;
  return { promise, measured, isKept: count === 0 };
}

/** A criterion of a number that is to be at most `limit`. */
export function atMost(promise: string, value: number, limit: number, unit = ''): Criterion {
  const shown = Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 0);
  return { promise, measured: `${shown}${unit === '' ? '' : ` ${unit}`}`, isKept: value <= limit };
}
