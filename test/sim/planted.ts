// Where a run may alter what the product does, to show that the checks find it. Each is a wrapper,
// an override or a parameter from outside; the product knows nothing of them. The bugs themselves
// are in planted-bugs.ts.
import type { LeaderConfig } from '../../control/leader-state.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Resolution } from '../../router/route-table.ts';
import type { Wanted } from '../../server/versions.ts';
import type { DocumentStore } from '../../stores/documents/documents.ts';
import type { UnaryCall } from '../../transport/backend.ts';

export interface Planted {
  /** The registry as a process sees it. */
  nodeRegistry?(registry: Registry): Registry;
  routerRegistry?(registry: Registry): Registry;
  leaderRegistry?(registry: Registry): Registry;
  /** The catalog's store as a leader sees it. */
  leaderDocuments?(documents: DocumentStore): DocumentStore;
  readonly timing?: LeaderConfig;
  /** They obey whatever they read. */
  readonly nodeTakesAnyShard?: boolean;
  readonly routerTakesAnyShard?: boolean;
  /** The registry's server lets older shards replace newer ones. */
  readonly serverTakesAnyShard?: boolean;
  /** What a node's versions are told to want. */
  wanted?(wanted: readonly Wanted[]): readonly Wanted[];
  /** The content that a node loads for what it was asked for, by the disk's cache. */
  cacheKey?(model: string, manifestSha256: string): string;
  /** A call as a node takes it. */
  nodeCall?(call: UnaryCall): UnaryCall;
  /** What a router's table says. */
  resolved?(resolution: Resolution): Resolution;
}

export const NOTHING_PLANTED: Planted = {};
