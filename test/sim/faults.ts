// What goes wrong in a run: planned from the seed, begun at its time, ended at its time. What a
// fault does is in fault-kinds.ts.
import type { Cluster } from './cluster.ts';
import { FAULT_KINDS, type FaultContext, type FaultKind } from './fault-kinds.ts';
import type { Operator } from './operator.ts';
import type { Random } from './random.ts';

const MIN_FAULTS = 5;
const MAX_FAULTS = 11;

export interface Fault {
  readonly kind: string;
  readonly atMs: number;
  readonly forMs: number;
  /** For what the fault itself decides. */
  readonly seed: number;
}

export interface FaultSpan {
  readonly fromMs: number;
  readonly untilMs: number;
}

const KINDS: readonly [string, FaultKind][] = Object.entries(FAULT_KINDS);

const ALL_SHARES = KINDS.reduce((sum, [, { share }]) => sum + share, 0);

/** @param drawn in [0, 1) */
function kindOf(drawn: number): [string, FaultKind] {
  let left = drawn * ALL_SHARES;
  for (const one of KINDS) {
    left -= one[1].share;
    if (left < 0) return one;
  }
  throw new Error('a draw lies in [0, 1)');
}

/** In the order of time. */
export function planFaults(random: Random, { fromMs, untilMs }: FaultSpan): readonly Fault[] {
  const faults: Fault[] = [];
  const count = random.int(MIN_FAULTS, MAX_FAULTS);
  for (let at = 0; at < count; at += 1) {
    const [kind, { mostMs }] = kindOf(random.next());
    const forMs = random.between(50, mostMs);
    const atMs = random.between(fromMs, untilMs - forMs);
    faults.push({ kind, atMs, forMs, seed: random.int(0, 2 ** 31) });
  }
  return faults.sort((a, b) => a.atMs - b.atMs);
}

export function startFaults(
  cluster: Cluster,
  operator: Operator,
  parts: { readonly faults: readonly Fault[]; readonly random: (seed: number) => Random },
): void {
  const { schedule, trace } = cluster.world;
  for (const { kind, atMs, forMs, seed } of parts.faults) {
    const context: FaultContext = { cluster, operator, random: parts.random(seed), forMs };
    const begin = FAULT_KINDS[kind]?.begin;
    if (begin === undefined) throw new Error(`there is no fault '${kind}'`);
    schedule.at(atMs, () => {
      const { target, end } = begin(context);
      trace.note('FAULT', kind, `${target} for ${Math.round(forMs)} ms`);
      schedule.after(forMs, () => {
        trace.note('FAULT', `${kind} ends`, target);
        end();
      });
    });
  }
}

export function shownFault({ kind, atMs, forMs }: Fault): string {
  return `${kind} at ${Math.round(atMs)} ms for ${Math.round(forMs)} ms`;
}
