// A node's assignment, seen at work: which shards it takes in the place of which.
import type { AssignmentShard, ShardRevision } from '../../registry/registry.ts';
import { Assignment, type Taken } from '../../server/assignment.ts';

export interface WatchedAssignmentOptions {
  readonly nodeId: string;
  /** A planted bug: everything is news. */
  readonly takesAny: boolean;
  readonly onTaken: (before: ShardRevision, now: ShardRevision) => void;
}

export class WatchedAssignment extends Assignment {
  readonly #options: WatchedAssignmentOptions;
  /** Shards taken in this life of the node. */
  readonly #taken = new Map<number, ShardRevision>();

  constructor(options: WatchedAssignmentOptions) {
    super(options.nodeId);
    this.#options = options;
  }

  override take(shard: AssignmentShard): Taken {
    const taken = super.take(shard);
    if (taken !== 'accepted') return taken;
    const before = this.#taken.get(shard.index);
    if (before !== undefined) this.#options.onTaken(before, shard);
    this.#taken.set(shard.index, shard);
    return taken;
  }

  override isNews(revision: ShardRevision): boolean {
    return this.#options.takesAny || super.isNews(revision);
  }
}
