// How many copies the load of each model asks for, and its rank by traffic, out of what nodes say.
// Pure. Copies = arrival rate x service time / target utilisation, of all nodes together. More are
// given at once, fewer only when fewer were enough for FALL_MS: a burst that comes back is not to
// find its copies gone. Bounds are the plan's: this knows no policies.
import { type AssignmentEntry, MAX_TRAFFIC_RANK, type ModelLoad } from '../registry/registry.ts';

/** Of its time a copy computes so much, when it has the number of copies that it gets. */
export const TARGET_UTILISATION = 0.6;
/** Above it more copies are given: between the two nothing changes. */
export const HIGH_UTILISATION = 0.8;
/** Copies and ranks fall no sooner, and then to the most that was asked for in that time. */
export const FALL_MS = 300_000;
/** A rank stands for so many times the calls a second of the one below it. */
const RANK_FACTOR = 2;
/** Calls a second of the lowest rank above 0. */
const LEAST_RANKED = 1 / 16;

/** What the plan takes of the load of one model. */
export interface ModelSize {
  /** 1 and more, whatever the policy. */
  readonly copies: number;
  /** 0 to MAX_TRAFFIC_RANK. */
  readonly trafficRank: number;
}

/** A number that rises at once and falls late. */
interface Settled {
  readonly value: number;
  /** The most that was asked for since it could fall. */
  readonly most: number;
  /** Undefined: it could not. */
  readonly lowSinceMs: number | undefined;
}

interface Known {
  copies: Settled;
  rank: Settled;
  size: ModelSize;
}

interface Offered {
  /** Copies that would be busy all the time. */
  busy: number;
  callsPerSecond: number;
}

const NOTHING: Offered = { busy: 0, callsPerSecond: 0 };

export class LoadBook {
  readonly #models = new Map<string, Known>();

  /** Undefined: one copy, rank 0. The same object as long as it says the same. */
  get(model: string): ModelSize | undefined {
    return this.#models.get(model)?.size;
  }

  /**
   * Begins anew with what an assignment says, so that a new leader takes nothing away at once.
   * @param ranks of before; of models that the assignment does not name
   */
  seed(
    entries: readonly AssignmentEntry[],
    nowMs: number,
    ranks: ReadonlyMap<string, number> = new Map(),
  ): void {
    this.#models.clear();
    for (const [model, rank] of ranks) {
      if (rank > 0) this.#models.set(model, known(settledAt(1, nowMs), settledAt(rank, nowMs)));
    }
    for (const { model, nodes, weight, trafficRank = 0 } of entries) {
      if (weight === 0 || (nodes.length < 2 && trafficRank === 0)) continue;
      const copies = settledAt(Math.max(1, nodes.length, this.get(model)?.copies ?? 0), nowMs);
      this.#models.set(model, known(copies, settledAt(trafficRank, nowMs)));
    }
  }

  /** @param loads what each node says */
  update(loads: Iterable<readonly ModelLoad[]>, nowMs: number): void {
    const offered = sumOf(loads);
    for (const model of this.#models.keys()) if (!offered.has(model)) offered.set(model, NOTHING);
    for (const [model, load] of offered) {
      const before = this.#models.get(model) ?? known(settledAt(1, nowMs), settledAt(0, nowMs));
      before.copies = settled(before.copies, copiesFor(load, before.copies.value), nowMs);
      before.rank = settled(before.rank, rankOf(load.callsPerSecond), nowMs);
      const size = { copies: before.copies.value, trafficRank: before.rank.value };
      const isSame =
        size.copies === before.size.copies && size.trafficRank === before.size.trafficRank;
      if (!isSame) before.size = size;
      if (size.copies === 1 && size.trafficRank === 0) this.#models.delete(model);
      else this.#models.set(model, before);
    }
  }
}

function known(copies: Settled, rank: Settled): Known {
  return { copies, rank, size: { copies: copies.value, trafficRank: rank.value } };
}

function sumOf(loads: Iterable<readonly ModelLoad[]>): Map<string, Offered> {
  const sums = new Map<string, Offered>();
  for (const ofNode of loads) {
    for (const { model, callsPerSecond, serviceMs } of ofNode) {
      const sum = sums.get(model) ?? { ...NOTHING };
      sum.busy += (callsPerSecond * serviceMs) / 1_000;
      sum.callsPerSecond += callsPerSecond;
      sums.set(model, sum);
    }
  }
  return sums;
}

function copiesFor({ busy }: Offered, copies: number): number {
  const target = Math.max(1, Math.ceil(busy / TARGET_UTILISATION));
  return busy > copies * HIGH_UTILISATION ? target : Math.min(copies, target);
}

function rankOf(callsPerSecond: number): number {
  if (callsPerSecond < LEAST_RANKED) return 0;
  const times = callsPerSecond / LEAST_RANKED;
  const rank = 1 + Math.floor(Math.log(times) / Math.log(RANK_FACTOR));
  return Math.min(MAX_TRAFFIC_RANK, rank);
}

function settledAt(value: number, nowMs: number): Settled {
  return { value, most: 0, lowSinceMs: nowMs };
}

function settled(before: Settled, wanted: number, nowMs: number): Settled {
  if (wanted >= before.value) return { value: wanted, most: 0, lowSinceMs: undefined };
  const lowSinceMs = before.lowSinceMs ?? nowMs;
  const most = Math.max(wanted, before.most);
  if (nowMs - lowSinceMs < FALL_MS) return { value: before.value, most, lowSinceMs };
  return { value: most, most: wanted, lowSinceMs: nowMs };
}
