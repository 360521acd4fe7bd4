// What every registry promises to those who watch it.

import type { Body } from './registry.contract.ts';
import type {
  AssignmentShard,
  CopyRecord,
  Lease,
  NodeRecord,
  Registry,
  RegistryChange,
} from './registry.ts';

/** Makes what is written. */
export interface Records {
  nodeRecord(id: string): NodeRecord;
  copy(model: string): CopyRecord;
  shard(index: number, epoch: number, revision: number): AssignmentShard;
  leaseOf(owner: string, epoch: number): Lease;
  /** Longer than any test. */
  readonly longMs: number;
}

/** Collects hints; `until` waits for one, however it is delivered. */
function changesOf(registry: Registry) {
  const seen: RegistryChange[] = [];
  let wake = () => {};
  const unwatch = registry.watch((change) => {
    seen.push(change);
    wake();
  });
  const until = async (isWanted: (change: RegistryChange) => boolean): Promise<void> => {
    while (!seen.some(isWanted)) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  /** Waits until hints come: a watcher need not hear from its first moment on. */
  const live = async (other: Registry): Promise<void> => {
    while (!seen.some(({ kind }) => kind === 'announcement')) {
      await other.announce('probe');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    seen.length = 0;
  };
  return { seen, until, live, unwatch };
}

export function watchTests(records: Records): Record<string, Body> {
  const { nodeRecord, copy, shard, leaseOf, longMs: LONG_MS } = records;
  return {
    'watchers hear what changed, from any client': async (t, { registry, other }) => {
      const changes = changesOf(registry);
      await changes.live(other);
      await other.putNode(nodeRecord('n1'), [], LONG_MS);
      await changes.until((change) => change.kind === 'nodes');
      await changes.until((change) => change.kind === 'copies' && change.nodeId === 'n1');
      changes.seen.length = 0;
      await other.putCopies('n1', 'i1', [copy('a')]);
      await changes.until((change) => change.kind === 'copies' && change.nodeId === 'n1');
      await other.putShard(shard(12, 1, 1));
      await changes.until((change) => change.kind === 'assignment' && change.index === 12);
      await other.acquireLease(leaseOf('a', 1), LONG_MS);
      await changes.until((change) => change.kind === 'lease' && change.name === 'leader');
      await other.announce('jobs');
      await changes.until((change) => change.kind === 'announcement' && change.topic === 'jobs');
      await other.removeNode('n1', 'i1');
      await changes.until((change) => change.kind === 'nodes');
      t.pass();
    },
    'what a shard changes is told with it, and only with it': async (t, { registry, other }) => {
      const changes = changesOf(registry);
      await changes.live(other);
      const of = (revision: number) => ({ index: 12, epoch: 1, revision });
      const step = { from: of(1), to: of(2), nodeIds: ['n1', 'n 2'] };
      await other.putShard(shard(12, 1, 1));
      t.true(await other.putShard(shard(12, 1, 2), step));
      t.false(await other.putShard(shard(12, 1, 2), step));
      await other.putShard(shard(12, 1, 3));
      const told = () => changes.seen.filter(({ kind }) => kind === 'assignment');
      await changes.until(() => told().length === 3);
      const plain = { kind: 'assignment', index: 12 } as const;
      t.deepEqual(told(), [plain, { ...plain, step }, plain]);
    },
    'a watcher that ended hears nothing, another still does': async (t, { registry, other }) => {
      const ended = changesOf(registry);
      const stays = changesOf(registry);
      await stays.live(other);
      await other.announce('first');
      await ended.until((change) => change.kind === 'announcement');
      ended.unwatch();
      const before = ended.seen.length;
      await other.announce('second');
      await stays.until((change) => change.kind === 'announcement' && change.topic === 'second');
      t.is(ended.seen.length, before);
    },
  };
}
