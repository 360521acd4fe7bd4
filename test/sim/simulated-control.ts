// A control process: the product's leader over links to catalog and registry. What it writes is
// held against what a leader may do.
import { Catalog } from '../../catalog/catalog.ts';
import { CLUSTER_TIMING, Leader } from '../../control/leader.ts';
import { DocumentsClient } from './documents-client.ts';
import type { LeaderChecks } from './leader-checks.ts';
import type { Machine } from './machine.ts';
import { RegistryClient } from './registry-client.ts';
import type { World } from './world.ts';

export class SimulatedControl {
  readonly machine: Machine;
  readonly #world: World;
  readonly #checks: LeaderChecks;
  #leader: Leader | undefined;
  #starts = 0;

  constructor(world: World, name: string, checks: LeaderChecks) {
    this.machine = world.machine(name);
    this.#world = world;
    this.#checks = checks;
  }

  /** The epoch under which it leads, as it thinks. */
  get epoch(): number | undefined {
    return this.machine.isPaused ? undefined : this.#leader?.epoch();
  }

  start(): void {
    const world = this.#world;
    const life = this.machine.begin();
    const { name } = this.machine;
    this.#starts += 1;
    const process = `${name}-${this.#starts}`;
    const registry = new RegistryClient(world.registry, world.network, life, {
      putsShard: (shard) => this.#checks.writes(process, shard),
      tookShard: (shard, isTaken) => this.#checks.wrote(shard, isTaken),
      tookLease: (lease) => this.#checks.granted(process, lease),
    });
    const documents = new DocumentsClient(world.documents, world.network, life);
    const { planted } = world;
    const leader = new Leader({
      id: name,
      catalog: new Catalog(planted.leaderDocuments?.(documents) ?? documents),
      registry: planted.leaderRegistry?.(registry) ?? registry,
      clock: life,
      log: world.log(name),
      timing: planted.timing ?? CLUSTER_TIMING,
      onReport: (report) => this.#checks.planned(name, report),
      onLead: (epoch) => world.trace.note(name, 'leads', String(epoch ?? 'no more')),
    });
    this.#leader = leader;
    world.trace.note(name, 'starts');
    leader.start();
  }

  kill(): void {
    this.#world.trace.note(this.machine.name, 'killed');
    this.machine.end();
    this.#leader = undefined;
  }

  /** SIGTERM: gives the lead back, then ends. */
  async stop(): Promise<void> {
    const leader = this.#leader;
    if (leader === undefined) return;
    this.#world.trace.note(this.machine.name, 'stops');
    await leader.stop();
    if (this.#leader === leader) this.kill();
  }
}
