// The registry's server: the memory registry behind a network, on a machine of its own. It can be
// away, lose all that it holds (FLUSHALL), or come back with what it held some time ago. What it
// takes is looked at: what a leader may not do is found here.
import { MemoryRegistry } from '../../registry/memory.ts';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentShard,
  type CopyRecord,
  NODE_TTL_MS,
  type NodeRecord,
  type Registry,
  type RegistryChange,
} from '../../registry/registry.ts';
import type { Machine } from './machine.ts';

const ALL_SHARDS = Array.from({ length: ASSIGNMENT_SHARDS }, (_, index) => index);

/** What a server remembers for when it is set back. */
interface Snapshot {
  readonly shards: readonly AssignmentShard[];
  readonly nodes: readonly NodeRecord[];
  readonly copies: ReadonlyMap<string, readonly CopyRecord[]>;
}

/** A planted bug. */
class UnfencedRegistry extends MemoryRegistry {
  override async putShard(shard: AssignmentShard): Promise<boolean> {
    const [held] = await this.shards([shard.index]);
    if (held === undefined) return super.putShard(shard);
    return super.putShard({ ...shard, epoch: held.epoch, revision: held.revision + 1 });
  }
}

export class RegistryServer {
  readonly machine: Machine;
  readonly #takesAny: boolean;
  #inner: MemoryRegistry;
  #isUp = true;
  /** Each time it comes back, or loses what it held, it is another. */
  #age = 0;
  lastLossMs = Number.NEGATIVE_INFINITY;
  readonly #watchers = new Set<(change: RegistryChange) => void>();
  readonly #onUp = new Set<() => void>();
  #snapshot: Snapshot = { shards: [], nodes: [], copies: new Map() };

  /** @param takesAny a planted bug: older shards replace newer ones */
  constructor(machine: Machine, takesAny = false) {
    this.machine = machine;
    this.#takesAny = takesAny;
    this.#inner = this.#open();
  }

  get registry(): Registry {
    return this.#inner;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get age(): number {
    return this.#age;
  }

  stop(): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.machine.illness.begin();
  }

  /** Comes back with what it held. */
  start(): void {
    if (this.#isUp) return;
    this.#isUp = true;
    this.machine.illness.end();
    for (const tell of this.#onUp) tell();
  }

  /** Nobody is told of that. */
  wipe(): void {
    const { illness, schedule } = this.machine;
    this.lastLossMs = schedule.nowMs();
    illness.begin();
    illness.end();
    this.#replace();
  }

  async remember(): Promise<void> {
    const [shards, nodes, copies] = await Promise.all([
      this.#inner.shards(ALL_SHARDS),
      this.#inner.nodes(),
      this.#inner.copies(),
    ]);
    this.#snapshot = { shards, nodes, copies };
  }

  /** A server of older knowledge takes its place: its leases have run out meanwhile. */
  async setBack(): Promise<void> {
    this.wipe();
    const { shards, nodes, copies } = this.#snapshot;
    const inner = this.#inner;
    for (const shard of shards) await inner.putShard(shard);
    for (const node of nodes) await inner.putNode(node, copies.get(node.id) ?? [], NODE_TTL_MS);
    for (const tell of this.#onUp) tell();
  }

  watch(listener: (change: RegistryChange) => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  /** Its clients find it again. */
  onUp(tell: () => void): () => void {
    this.#onUp.add(tell);
    return () => this.#onUp.delete(tell);
  }

  #replace(): void {
    const old = this.#inner;
    this.#age += 1;
    this.#inner = this.#open();
    void old.close();
  }

  #open(): MemoryRegistry {
    const { machine } = this;
    const life = machine.life ?? machine.begin();
    const inner = this.#takesAny ? new UnfencedRegistry(life) : new MemoryRegistry(life);
    inner.watch((change) => {
      for (const tell of this.#watchers) tell(change);
    });
    return inner;
  }
}
