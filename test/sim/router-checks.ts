// What is checked of routers: they never go back to an older assignment, never forget a node that
// is well, and let no call wait until its listener has to end it.
import type { Life } from './machine.ts';
import { isOlder } from './node-checks.ts';
import type { TableWatcher } from './watched-table.ts';
import type { World } from './world.ts';

/** So long a node and its way to the registry must have been well to be known for certain. */
const WELL_MS = 6_000;

export class RouterChecks {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  watcher(router: string, life: Life): TableWatcher {
    const { checks } = this.#world;
    return {
      changed(before, now) {
        if (!isOlder(now, before)) return;
        const [was, is] = [`${before.epoch}/${before.revision}`, `${now.epoch}/${now.revision}`];
        const text = `${router} goes back in shard ${now.index}: ${was} to ${is}`;
        checks.breach('newest_obeyed', text);
      },
      forgot: (nodeId) => {
        if (life.isAlive && this.#isWell(nodeId)) {
          checks.breach('well_node_kept', `${router} forgets ${nodeId}, which is well`);
        }
      },
    };
  }

  /** The room ends waits before the listener has to; a call that is at a node is no concern. */
  expired(router: string, number: number): void {
    this.#world.trace.note(router, 'expired', String(number));
  }

  #isWell(nodeId: string): boolean {
    const { machines, network, registry } = this.#world;
    const way = network.wellForMs(nodeId, registry.machine.name);
    const there = registry.machine.illness.wellForMs();
    const itself = machines.get(nodeId)?.illness.wellForMs() ?? 0;
    return Math.min(way, there, itself) >= WELL_MS;
  }
}
