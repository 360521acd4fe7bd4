// Whether anything is wrong that could hold a call up, or keep a router from knowing what is where:
// asked before a failed call is called needless.
import type { World } from './world.ts';

/** What was wrong may have effects for so long: a TTL, a lease, an ejection, a plan. */
export const RECOVERY_MS = 6_000;
const LOOK_MS = 500;

export interface Members {
  readonly nodes: readonly string[];
  readonly routers: readonly string[];
  readonly controls: readonly string[];
}

export class Wellness {
  readonly #world: World;
  readonly #members: Members;
  #settledMs = Number.NEGATIVE_INFINITY;

  constructor(world: World, members: Members) {
    this.#world = world;
    this.#members = members;
  }

  start(): void {
    const { schedule } = this.#world;
    const look = (): void => {
      if (this.#isSettled()) this.#settledMs = schedule.nowMs();
      schedule.after(LOOK_MS, look);
    };
    schedule.after(LOOK_MS, look);
  }

  /** When all processes last were well, and their ways to the registry, for RECOVERY_MS. */
  get settledMs(): number {
    return this.#settledMs;
  }

  /**
   * The router, all nodes and the ways between them; and the nodes and their ways to the registry
   * ever since all was settled. Not the registry itself, nor the router's way to it.
   */
  isServingWell(router: string): boolean {
    const { network, registry } = this.#world;
    const there = registry.machine.name;
    const sinceMs = Math.max(RECOVERY_MS, this.#world.nowMs() - this.#settledMs);
    return (
      this.#isWell(router) &&
      this.#members.nodes.every(
        (node) =>
          this.#isWell(node, sinceMs) &&
          network.wellForMs(node, there) >= sinceMs &&
          network.wellForMs(router, node) >= RECOVERY_MS,
      )
    );
  }

  #isSettled(): boolean {
    const { network, registry } = this.#world;
    const there = registry.machine.name;
    const { nodes, routers, controls } = this.#members;
    return (
      this.#isWell(there) &&
      [...nodes, ...routers, ...controls].every(
        (name) => this.#isWell(name) && network.wellForMs(name, there) >= RECOVERY_MS,
      )
    );
  }

  #isWell(name: string, forMs = RECOVERY_MS): boolean {
    return (this.#world.machines.get(name)?.illness.wellForMs() ?? 0) >= forMs;
  }
}
