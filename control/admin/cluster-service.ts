// torus.v1.ClusterService: what the registry says of the cluster, for people to look at.
import { isDeepStrictEqual } from 'node:util';
import {
  ClusterServiceService,
  type ClusterStatus,
  CopyState as CopyStateMessage,
  type ModelStatus,
  type Node,
  NodeState,
} from '../../proto/gen/torus/v1/cluster_service.ts';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentEntry,
  type CopyRecord,
  type CopyState,
  type NodeRecord,
} from '../../registry/registry.ts';
import type { Backend } from '../../transport/backend.ts';
import { serveDefinition } from '../../transport/definition.ts';
import { assignmentRevision } from '../assignment.ts';
import { LEASE_NAME } from '../leader.ts';
import type { AdminContext } from './admin-context.ts';
import { ChangeSignal } from './change-signal.ts';
import { dateOf } from './fields.ts';

/** Watchers get a status this often, at most. */
export const WATCH_STATUS_PAUSE_MS = 300;
/** Watchers look so often without being told. */
export const WATCH_STATUS_LOOK_MS = 5_000;

const COPY_STATES: Record<CopyState, CopyStateMessage> = {
  LOADING: CopyStateMessage.LOADING,
  READY: CopyStateMessage.READY,
  UNLOADING: CopyStateMessage.UNLOADING,
  FAILED: CopyStateMessage.FAILED,
  QUARANTINED: CopyStateMessage.QUARANTINED,
};

const NODE_STATES: Record<NodeRecord['state'], NodeState> = {
  SERVING: NodeState.SERVING,
  DRAINING: NodeState.DRAINING,
};

/** Nobody has called it lately: it needs no copy, and is no cause for worry. */
const ON_DEMAND = 'on demand: its first call loads it';

const ALL_SHARDS = Array.from({ length: ASSIGNMENT_SHARDS }, (_, index) => index);

export function clusterService(context: AdminContext): Backend {
  return serveDefinition(
    ClusterServiceService,
    {
      getClusterStatus: () => readStatus(context),
      watchClusterStatus: (_request, { signal }) => watchStatus(context, signal),
    },
    context.log,
  );
}

async function readStatus({ registry, dateMs }: AdminContext): Promise<ClusterStatus> {
  const nodes = await registry.nodes();
  const copies = await registry.copies();
  const shards = await registry.shards(ALL_SHARDS);
  const lease = await registry.lease(LEASE_NAME);
  const entries = shards.flatMap((shard) => shard.entries);
  return {
    nodes: nodes.map((node) => nodeMessage(node, copies.get(node.id) ?? [])),
    models: modelStatuses(entries, copies),
    leaderId: lease?.owner.split('/')[0] ?? '',
    leaderEpoch: BigInt(lease?.epoch ?? 0),
    assignmentRevision: BigInt(assignmentRevision(shards)),
    readTime: dateOf(dateMs()),
  };
}

function nodeMessage(node: NodeRecord, copies: readonly CopyRecord[]): Node {
  const usedBytes = copies.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  return {
    id: node.id,
    incarnation: node.incarnation,
    address: node.address,
    zone: node.zone,
    state: NODE_STATES[node.state],
    copies: copies.map((copy) => ({
      modelId: copy.model,
      version: BigInt(copy.version),
      state: COPY_STATES[copy.state],
      reason: copy.reason,
      memoryBytes: BigInt(Math.trunc(copy.memoryBytes)),
    })),
    memoryLimitBytes: BigInt(Math.trunc(node.memoryLimitBytes)),
    memoryUsedBytes: BigInt(Math.trunc(usedBytes)),
  };
}

function modelStatuses(
  entries: readonly AssignmentEntry[],
  copies: ReadonlyMap<string, readonly CopyRecord[]>,
): ModelStatus[] {
  const byVersion = new Map<string, CopyRecord[]>();
  for (const copy of [...copies.values()].flat()) {
    const key = `${copy.model}/${copy.version}/${copy.manifestSha256}`;
    const known = byVersion.get(key);
    if (known === undefined) byVersion.set(key, [copy]);
    else known.push(copy);
  }
  const sorted = [...entries].sort(
    (a, b) => (a.model < b.model ? -1 : a.model > b.model ? 1 : 0) || a.version - b.version,
  );
  return sorted.map(({ model, version, manifestSha256, nodes, weight, reason, isOnDemand }) => {
    const held = byVersion.get(`${model}/${version}/${manifestSha256}`) ?? [];
    const failed = held.filter(({ state }) => state === 'FAILED' || state === 'QUARANTINED');
    const isAway = isOnDemand === true && held.length === 0;
    return {
      modelId: model,
      version: BigInt(version),
      wantedCopies: isAway ? 0 : nodes.length,
      readyCopies: held.filter(({ state }) => state === 'READY').length,
      failedCopies: failed.length,
      reason: reason || (failed[0]?.reason ?? (isAway ? ON_DEMAND : '')),
      weight,
    };
  });
}

/** As it is, then each time it is found changed. */
async function* watchStatus(
  context: AdminContext,
  signal: AbortSignal,
): AsyncGenerator<ClusterStatus> {
  const { registry, clock } = context;
  const changes = new ChangeSignal(clock);
  const pause = new ChangeSignal(clock);
  const unwatch = registry.watch(() => changes.tell());
  try {
    let seen: ClusterStatus | undefined;
    while (!signal.aborted) {
      const status = await readStatus(context);
      if (!isDeepStrictEqual({ ...status, readTime: seen?.readTime }, seen)) {
        seen = status;
        yield status;
      }
      await pause.next(WATCH_STATUS_PAUSE_MS, signal);
      await changes.next(WATCH_STATUS_LOOK_MS, signal);
    }
  } finally {
    unwatch();
  }
}
