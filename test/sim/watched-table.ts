// The router's table, seen at work: what it takes, and which nodes it forgets.
import type {
  AssignmentShard,
  CopyRecord,
  NodeRecord,
  ShardRevision,
} from '../../registry/registry.ts';
import { RouteTable } from '../../router/route-table.ts';
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

  constructor(watcher: TableWatcher, planted: Planted) {
    super();
    this.#watcher = watcher;
    this.#planted = planted;
  }

  override addShards(shards: readonly AssignmentShard[]): void {
    const before = shards.map(({ index }) => this.revision(index));
    super.addShards(this.#planted.routerShards?.(shards, (index) => this.shard(index)) ?? shards);
    for (const [at, { index }] of shards.entries()) {
      const [was, now] = [before[at], this.revision(index)];
      if (was !== undefined && now !== undefined && was !== now) this.#watcher.changed(was, now);
    }
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
}
