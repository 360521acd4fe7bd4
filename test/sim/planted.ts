// Bugs on purpose: where a run may alter what the product does, to show that the checks find it.
// Each is a wrapper or a parameter from outside; the product knows nothing of them.

import type { LeaderConfig } from '../../control/leader-state.ts';
import type { AssignmentShard, Registry } from '../../registry/registry.ts';
import type { Forward } from '../../router/forward.ts';
import type { WaitingRoom } from '../../router/waiting.ts';
import type { CopyStatus, Wanted } from '../../server/versions.ts';
import type { UnaryCall } from '../../transport/backend.ts';

export interface Planted {
  /** The registry as a node sees it. */
  nodeRegistry?(registry: Registry): Registry;
  /** The registry as a leader sees it. */
  leaderRegistry?(registry: Registry): Registry;
  /** A node obeys whatever it reads. */
  readonly nodeTakesAnyShard?: boolean;
  /** What a node's versions are told to want. */
  wanted?(wanted: readonly Wanted[], held: readonly CopyStatus[]): readonly Wanted[];
  /** A call as a node takes it. */
  nodeCall?(call: UnaryCall): UnaryCall;
  /** A call as a router takes it. */
  routerCall?(call: UnaryCall): UnaryCall;
  /** Shards as a router takes them. */
  routerShards?(
    shards: readonly AssignmentShard[],
    held: (index: number) => AssignmentShard | undefined,
  ): readonly AssignmentShard[];
  room?(): WaitingRoom<Forward>;
  readonly timing?: LeaderConfig;
}

export const NOTHING_PLANTED: Planted = {};
