// The router's table, seen at work: what it takes, and which nodes it forgets.
import type {
  AssignmentShard,
  CopyRecord,
  NodeRecord,
  ShardRevision,
} from '../../registry/registry.ts';
import { type Resolution, RouteTable } from '../../router/route-table.ts';
import type { Planted } from './planted.ts';

export interface TableWatcher {
  /** A shard that it had is now another one. */
  changed(before: ShardRevision, now: ShardRevision): void;
  /** Nodes that it knew and knows no more. */
  forgot(nodeId: string): void;
}

export class WatchedTable extends RouteTable {
  readonly #watcher: TableWatcher;
  readonly #planted: Planted;

  /** As they were given. */
  readonly #taken = new Map<number, ShardRevision>();

  constructor(watcher: TableWatcher, planted: Planted) {
    super();
    this.#watcher = watcher;
    this.#planted = planted;
  }

  override addShards(shards: readonly AssignmentShard[]): void {
    const before = shards.map(({ index }) => this.revision(index));
    const given = this.#planted.routerTakesAnyShard === true ? shards.map(this.#asNewer) : shards;
    super.addShards(given);
    for (const [at, shard] of shards.entries()) {
      const [was, now] = [before[at], this.revision(shard.index)];
      if (now === undefined || was === now) continue;
      const known = this.#taken.get(shard.index);
      if (known !== undefined) this.#watcher.changed(known, shard);
      this.#taken.set(shard.index, shard);
    }
  }

  override resolve(...asked: Parameters<RouteTable['resolve']>): Resolution {
    const resolution = super.resolve(...asked);
    return this.#planted.resolved?.(resolution) ?? resolution;
  }

  override setNodes(
    nodes: readonly NodeRecord[],
    copies: ReadonlyMap<string, readonly CopyRecord[]>,
  ): void {
    const before = [...this.nodes()];
    super.setNodes(nodes, copies);
    for (const { id } of before) {
      if (this.node(id) === undefined) this.#watcher.forgot(id);
    }
  }

  /** A planted bug: whatever comes is taken. */
  readonly #asNewer = (shard: AssignmentShard): AssignmentShard => {
    const held = this.revision(shard.index);
    if (held === undefined) return shard;
    const isHeld = this.#taken.get(shard.index)?.revision === shard.revision;
    return { ...shard, epoch: held.epoch, revision: held.revision + (isHeld ? 0 : 1) };
  };
}
