// The registry inside one process: for `torus up`, tests and simulation. It keeps nothing across a
// restart, which is allowed: nodes announce themselves again, the leader plans again.
import type { Clock } from '../common/clock.ts';
import { unavailable } from '../common/status.ts';
import { checkCount, checkIndex, checkLoads, checkTtl, LEASE_FENCE_MS } from './limits.ts';
import type {
  AssignmentShard,
  CopyRecord,
  Lease,
  ModelLoad,
  NodeCopies,
  NodeRecord,
  Registry,
  RegistryChange,
  ShardRevision,
  ShardStep,
} from './registry.ts';

/** Never the same twice in a process: a registry that was emptied begins with no old ones. */
let stamps = 0;

interface HeldNode {
  node: NodeRecord;
  copies: readonly CopyRecord[];
  loads?: readonly ModelLoad[];
  stamp: string;
  expiresMs: number;
}

interface HeldLease {
  readonly lease: Lease;
  expiresMs: number;
}

/** The highest epoch that held a lease, kept a while after it ended. */
interface Fence {
  readonly epoch: number;
  readonly expiresMs: number;
}

export class MemoryRegistry implements Registry {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, HeldNode>();
  readonly #leases = new Map<string, HeldLease>();
  readonly #fences = new Map<string, Fence>();
  readonly #shards = new Map<number, AssignmentShard>();
  readonly #listeners = new Set<(change: RegistryChange) => void>();
  #timer: { readonly dueMs: number; readonly cancel: () => void } | undefined;
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async putNode(node: NodeRecord, copies: readonly CopyRecord[], ttlMs: number): Promise<void> {
    const expiresMs = this.#expiry(ttlMs);
    this.#nodes.set(node.id, { node, copies, expiresMs, stamp: nextStamp() });
    this.#tell({ kind: 'nodes' });
    this.#tell({ kind: 'copies', nodeId: node.id });
  }

  async heartbeat(nodeId: string, incarnation: string, ttlMs: number): Promise<boolean> {
    const expiresMs = this.#expiry(ttlMs);
    const held = this.#held(nodeId, incarnation);
    if (held === undefined) return false;
    held.expiresMs = expiresMs;
    return true;
  }

  async putCopies(
    nodeId: string,
    incarnation: string,
    copies: readonly CopyRecord[],
  ): Promise<boolean> {
    this.#sweep();
    const held = this.#held(nodeId, incarnation);
    if (held === undefined) return false;
    held.copies = copies;
    held.stamp = nextStamp();
    this.#tell({ kind: 'copies', nodeId });
    return true;
  }

  async removeNode(nodeId: string, incarnation: string): Promise<void> {
    this.#sweep();
    if (this.#held(nodeId, incarnation) === undefined) return;
    this.#nodes.delete(nodeId);
    this.#tell({ kind: 'nodes' });
  }

  async nodes(): Promise<readonly NodeRecord[]> {
    this.#sweep();
    return [...this.#nodes.values()].map((held) => held.node).sort(byId);
  }

  async copies(): Promise<ReadonlyMap<string, readonly CopyRecord[]>> {
    this.#sweep();
    return new Map([...this.#nodes].map(([id, held]) => [id, held.copies]));
  }

  async copyStamps(): Promise<ReadonlyMap<string, string>> {
    this.#sweep();
    return new Map([...this.#nodes].map(([id, { stamp }]) => [id, stamp]));
  }

  async copiesOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, NodeCopies>> {
    this.#sweep();
    const found = new Map<string, NodeCopies>();
    for (const id of nodeIds) {
      const held = this.#nodes.get(id);
      if (held !== undefined) found.set(id, { stamp: held.stamp, copies: held.copies });
    }
    return found;
  }

  async putLoads(
    nodeId: string,
    incarnation: string,
    loads: readonly ModelLoad[],
  ): Promise<boolean> {
    checkLoads(loads);
    this.#sweep();
    const held = this.#held(nodeId, incarnation);
    if (held === undefined) return false;
    held.loads = loads;
    return true;
  }

  async loadsOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, readonly ModelLoad[]>> {
    this.#sweep();
    const found = new Map<string, readonly ModelLoad[]>();
    for (const id of nodeIds) {
      const loads = this.#nodes.get(id)?.loads;
      if (loads !== undefined) found.set(id, loads);
    }
    return found;
  }

  async acquireLease(lease: Lease, ttlMs: number): Promise<boolean> {
    const expiresMs = this.#expiry(ttlMs);
    checkCount("a lease's epoch", lease.epoch);
    const held = this.#leases.get(lease.name);
    if (held !== undefined && held.lease.owner !== lease.owner) return false;
    if (lease.epoch < (this.#fences.get(lease.name)?.epoch ?? 0)) return false;
    this.#leases.set(lease.name, { lease, expiresMs });
    this.#fence(lease);
    this.#tell({ kind: 'lease', name: lease.name });
    return true;
  }

  async renewLease(lease: Lease, ttlMs: number): Promise<boolean> {
    const expiresMs = this.#expiry(ttlMs);
    const held = this.#heldLease(lease);
    if (held === undefined) return false;
    held.expiresMs = expiresMs;
    this.#fence(lease);
    return true;
  }

  async releaseLease(lease: Lease): Promise<void> {
    this.#sweep();
    if (this.#heldLease(lease) === undefined) return;
    this.#leases.delete(lease.name);
    this.#tell({ kind: 'lease', name: lease.name });
  }

  async lease(name: string): Promise<Lease | undefined> {
    this.#sweep();
    return this.#leases.get(name)?.lease;
  }

  async putShard(shard: AssignmentShard, step?: ShardStep): Promise<boolean> {
    this.#sweep();
    checkIndex(shard.index);
    checkCount("a shard's epoch", shard.epoch);
    checkCount("a shard's revision", shard.revision);
    const held = this.#shards.get(shard.index);
    if (held !== undefined && !isNewer(shard, held)) return false;
    this.#shards.set(shard.index, shard);
    this.#tell({ kind: 'assignment', index: shard.index, ...(step && { step }) });
    return true;
  }

  async shardRevisions(): Promise<readonly ShardRevision[]> {
    this.#sweep();
    return [...this.#shards.values()]
      .map(({ index, epoch, revision }) => ({ index, epoch, revision }))
      .sort((a, b) => a.index - b.index);
  }

  async shards(indices: readonly number[]): Promise<readonly AssignmentShard[]> {
    this.#sweep();
    for (const index of indices) checkIndex(index);
    return [...new Set(indices)]
      .sort((a, b) => a - b)
      .flatMap((index) => this.#shards.get(index) ?? []);
  }

  async announce(topic: string): Promise<void> {
    this.#sweep();
    this.#tell({ kind: 'announcement', topic });
  }

  watch(listener: (change: RegistryChange) => void): () => void {
    // One that is given twice is two watchers.
    const entry = (change: RegistryChange) => listener(change);
    if (!this.#isClosed) this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#listeners.clear();
    this.#nodes.clear();
    this.#leases.clear();
    this.#fences.clear();
    this.#shards.clear();
  }

  /** Runs first in each write with a TTL: forgets what has expired, then says when this would. */
  #expiry(ttlMs: number): number {
    checkTtl(ttlMs);
    this.#sweep();
    const expiresMs = this.#clock.nowMs() + ttlMs;
    this.#sweepAt(expiresMs);
    return expiresMs;
  }

  #held(nodeId: string, incarnation: string): HeldNode | undefined {
    const held = this.#nodes.get(nodeId);
    return held?.node.incarnation === incarnation ? held : undefined;
  }

  #heldLease(lease: Lease): HeldLease | undefined {
    const held = this.#leases.get(lease.name);
    return held?.lease.owner === lease.owner && held.lease.epoch === lease.epoch ? held : undefined;
  }

  /** Forgets nodes and leases that are past their TTL and tells it. */
  #sweep(): void {
    if (this.#isClosed) throw unavailable('the registry is closed');
    const nowMs = this.#clock.nowMs();
    for (const [id, held] of this.#nodes) {
      if (held.expiresMs > nowMs) continue;
      this.#nodes.delete(id);
      this.#tell({ kind: 'nodes' });
    }
    for (const [name, held] of this.#leases) {
      if (held.expiresMs > nowMs) continue;
      this.#leases.delete(name);
      this.#tell({ kind: 'lease', name });
    }
    for (const [name, fence] of this.#fences) {
      if (fence.expiresMs > nowMs) break;
      this.#fences.delete(name);
    }
  }

  /** The one that was renewed last is the last, so that sweeping looks at few. */
  #fence({ name, epoch }: Lease): void {
    this.#fences.delete(name);
    this.#fences.set(name, { epoch, expiresMs: this.#clock.nowMs() + LEASE_FENCE_MS });
  }

  /** Expiry is told without anybody asking: one timer, set for what expires next. */
  #sweepAt(dueMs: number): void {
    if (this.#timer !== undefined && this.#timer.dueMs <= dueMs) return;
    this.#timer?.cancel();
    const cancel = this.#clock.after(dueMs - this.#clock.nowMs(), () => {
      this.#timer = undefined;
      this.#sweep();
      for (const held of this.#nodes.values()) this.#sweepAt(held.expiresMs);
      for (const held of this.#leases.values()) this.#sweepAt(held.expiresMs);
    });
    this.#timer = { dueMs, cancel };
  }

  /** Each listener runs for itself, after the write: it can neither fail nor re-enter it. */
  #tell(change: RegistryChange): void {
    for (const listener of this.#listeners) {
      queueMicrotask(() => {
        if (this.#listeners.has(listener)) listener(change);
      });
    }
  }
}

function nextStamp(): string {
  stamps += 1;
  return String(stamps);
}

function byId(a: NodeRecord, b: NodeRecord): number {
  return a.id < b.id ? -1 : 1;
}

function isNewer(shard: ShardRevision, held: ShardRevision): boolean {
  if (shard.epoch !== held.epoch) return shard.epoch > held.epoch;
  return shard.revision > held.revision;
}
