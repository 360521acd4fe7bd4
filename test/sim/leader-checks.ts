// What is checked of leaders, by what they write: one process an epoch, never behind one with a
// newer lease, and plans that load the nodes evenly.
import { LOAD_BOUND } from '../../control/placement.ts';
import type { PlanReport } from '../../control/planner.ts';
import type { AssignmentEntry, AssignmentShard, Lease } from '../../registry/registry.ts';
import type { World } from './world.ts';

/** A leader hears of the catalog's changes within a resync of its plan. */
const UNCERTAIN_MS = 15_000;
/** A lease that was lost with the registry's memory goes on in its owner's mind for so long. */
const LEASE_MEMORY_MS = 3_500;

export class LeaderChecks {
  readonly #world: World;
  readonly #processOf = new Map<number, string>();
  readonly #held = new Map<number, AssignmentShard>();
  #grantedEpoch = 0;
  #age = 0;

  constructor(world: World) {
    this.#world = world;
  }

  granted(process: string, { epoch }: Lease): void {
    this.#world.trace.note(process, 'has the lease', String(epoch));
    this.#owns(process, epoch);
    this.#grantedEpoch = Math.max(this.#grantedEpoch, epoch);
  }

  /** A leader sends a shard. */
  writes(process: string, { epoch, index }: AssignmentShard): void {
    const world = this.#world;
    this.#owns(process, epoch);
    const isLossRecent = world.nowMs() - world.registry.lastLossMs < LEASE_MEMORY_MS;
    if (epoch < this.#grantedEpoch && !isLossRecent) {
      const text = `${process} writes shard ${index} under ${epoch}, the lease is at`;
      world.checks.breach('leads_with_lease', `${text} ${this.#grantedEpoch}`);
    }
  }

  /** The registry's server has looked at a shard. */
  wrote(shard: AssignmentShard, isTaken: boolean): void {
    if (!isTaken) return;
    const { registry, checks } = this.#world;
    if (registry.age !== this.#age) {
      this.#age = registry.age;
      this.#held.clear();
    }
    const held = this.#held.get(shard.index);
    const isNewer =
      held === undefined ||
      shard.epoch > held.epoch ||
      (shard.epoch === held.epoch && shard.revision > held.revision);
    if (!isNewer) checks.breach('registry_goes_on', `shard ${shard.index} goes back`);
    this.#held.set(shard.index, shard);
  }

  #entries(): readonly AssignmentEntry[] {
    return [...this.#held.values()].flatMap(({ entries }) => entries);
  }

  /** A plan is written whole: what the registry holds then loads the nodes evenly. */
  planned(process: string, { copiesByNode }: PlanReport): void {
    const { models, checks, nowMs } = {
      ...{ models: this.#world.models, checks: this.#world.checks },
      nowMs: this.#world.nowMs(),
    };
    const loads = new Map([...copiesByNode.keys()].map((id) => [id, 0]));
    let [total, largest] = [0, 0];
    for (const { model: name, nodes } of this.#entries()) {
      const model = models.get(name);
      if (model === undefined) continue;
      // Which number the plan knew is not certain for a while.
      if (nowMs - model.copiesSinceMs < UNCERTAIN_MS) return;
      // Those after them are only leaving.
      const targets = nodes.slice(0, Math.min(model.copies, loads.size));
      largest = Math.max(largest, model.sizeBytes);
      for (const id of targets) {
        total += model.sizeBytes;
        loads.set(id, (loads.get(id) ?? 0) + model.sizeBytes);
      }
    }
    // The least loaded node that has no copy of the model yet may lie above the mean of all.
    const limit = Math.max(
      (LOAD_BOUND * total) / loads.size,
      total / Math.max(1, loads.size - 1) + largest,
    );
    for (const [id, load] of loads) {
      if (load <= limit) continue;
      const text = `${process} loads ${id} with ${load} of ${total}, on ${loads.size} nodes`;
      checks.breach('bounded_load', text);
    }
  }

  #owns(process: string, epoch: number): void {
    const owner = this.#processOf.get(epoch);
    if (owner === undefined) this.#processOf.set(epoch, process);
    else if (owner !== process) {
      const text = `${process} acts under epoch ${epoch}, which is ${owner}'s`;
      this.#world.checks.breach('one_leader_an_epoch', text);
    }
  }
}
