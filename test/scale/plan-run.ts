// One size of cluster, planned: in whole, then again and again after a node joined or left. Tells
// what a plan takes (ring, plan and shards; reading catalog and registry is not in it), what moved,
// and what at least had to move.
import { changedShards } from '../../control/assignment.ts';
import { LOAD_BOUND } from '../../control/placement.ts';
import { COST_FACTOR, Plans } from '../../control/plan.ts';
import { ringCache } from '../../control/ring.ts';
import type { AssignmentEntry, AssignmentShard } from '../../registry/registry.ts';
import { madeModels, madeNode, readyEverywhere } from './made-cluster.ts';

/** Joins and leaves of a run; figures are their medians. */
const ROUNDS = 5;

export interface PlanFigures {
  readonly nodes: number;
  readonly models: number;
  readonly full: Step;
  readonly join: Step;
  readonly leave: Step;
}

export interface Step {
  /** Of the processor, user and system: other programs on the machine count less than in time. */
  readonly cpuMs: number;
  /** Share of the bytes of all copies that are placed where they were not, 0 to 1. */
  readonly movedShare: number;
  /**
   * Share that must move: what was on the node that left; what the others bear above the bound when
   * one joined.
   */
  readonly leastShare: number;
  /** The most loaded node over the mean. */
  readonly peak: number;
  /** The costliest copy over the mean: no plan has a peak below it. */
  readonly largest: number;
}

export function measurePlans(nodes: number, models: number): PlanFigures {
  const cluster = new PlannedCluster(nodes, models);
  const full = cluster.step();
  // Every copy came up since: this one is neither a join nor a leave.
  cluster.step();
  const [joins, leaves]: [Step[], Step[]] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    cluster.join();
    joins.push(cluster.step());
    cluster.leave();
    leaves.push(cluster.step());
  }
  return { nodes, models, full, join: medianOf(joins), leave: medianOf(leaves) };
}

class PlannedCluster {
  readonly #models;
  readonly #bytes: ReadonlyMap<string, number>;
  readonly #ringOf = ringCache();
  readonly #plans = new Plans();
  readonly #held = new Map<number, AssignmentShard>();
  #nodes;
  #nextNode: number;
  #left: readonly string[] = [];
  #previous: readonly AssignmentEntry[] = [];

  constructor(nodes: number, models: number) {
    this.#models = madeModels(models);
    this.#bytes = new Map(
      this.#models.map(({ model, versions }) => [
        model.name,
        Math.ceil((versions[0]?.sizeBytes ?? 0) * COST_FACTOR),
      ]),
    );
    this.#nodes = Array.from({ length: nodes }, (_, at) => madeNode(at));
    this.#nextNode = nodes;
  }

  join(): void {
    this.#nodes = [...this.#nodes, madeNode(this.#nextNode)];
    this.#nextNode += 1;
    this.#left = [];
  }

  leave(): void {
    const [left, ...others] = this.#nodes;
    this.#nodes = others;
    this.#left = left === undefined ? [] : [left.id];
  }

  /** Plans, and takes it that every copy is ready by the next time. */
  step(): Step {
    const copies = readyEverywhere(this.#previous, this.#nodes);
    const [models, nodes, previous] = [this.#models, this.#nodes, this.#previous];
    const before = process.cpuUsage();
    const ring = this.#ringOf(nodes.map(({ id }) => id));
    const entries = this.#plans.make({ models, nodes, copies, previous, ring });
    const changed = changedShards(entries, this.#held, 1);
    const { user, system } = process.cpuUsage(before);
    for (const shard of changed) this.#held.set(shard.index, shard);
    this.#previous = entries;
    return { cpuMs: (user + system) / 1_000, ...this.#judge(previous, entries) };
  }

  #judge(before: readonly AssignmentEntry[], after: readonly AssignmentEntry[]) {
    const loads = new Map<string, number>(this.#nodes.map(({ id }) => [id, 0]));
    const old = new Map(before.map(({ model, nodes }) => [model, nodes]));
    let [totalBytes, movedBytes, lostBytes, largestBytes] = [0, 0, 0, 0];
    const kept = new Map<string, number>();
    for (const { model, nodes } of after) {
      const bytes = this.#bytes.get(model) ?? 0;
      largestBytes = Math.max(largestBytes, bytes);
      const held = old.get(model) ?? [];
      for (const id of held) {
        if (this.#left.includes(id)) lostBytes += bytes;
        else kept.set(id, (kept.get(id) ?? 0) + bytes);
      }
      // Copies that only stay until others are ready are the last ones.
      for (const id of nodes.slice(0, held.length === 0 ? nodes.length : held.length)) {
        totalBytes += bytes;
        loads.set(id, (loads.get(id) ?? 0) + bytes);
        if (!held.includes(id)) movedBytes += bytes;
      }
    }
    const meanBytes = totalBytes / this.#nodes.length;
    let excessBytes = 0;
    for (const load of kept.values()) excessBytes += Math.max(0, load - LOAD_BOUND * meanBytes);
    const leastBytes =
      before.length === 0 ? totalBytes : this.#left.length > 0 ? lostBytes : excessBytes;
    return {
      movedShare: movedBytes / totalBytes,
      leastShare: leastBytes / totalBytes,
      peak: Math.max(...loads.values()) / meanBytes,
      largest: largestBytes / meanBytes,
    };
  }
}

function medianOf(steps: readonly Step[]): Step {
  const median = (read: (step: Step) => number): number => {
    const sorted = steps.map(read).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  };
  return {
    cpuMs: median(({ cpuMs }) => cpuMs),
    movedShare: median(({ movedShare }) => movedShare),
    leastShare: median(({ leastShare }) => leastShare),
    peak: median(({ peak }) => peak),
    largest: median(({ largest }) => largest),
  };
}
