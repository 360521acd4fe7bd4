import test from 'ava';
import type { ClusterStatus } from '../../proto/gen/torus/v1/cluster_service.ts';
import { type AssignmentEntry, REGISTRY_SCHEMA } from '../../registry/registry.ts';
import { shardOf } from '../../registry/shards.ts';
import { adminWorld } from '../../test/support/admin-world.ts';

const HASH = '0'.repeat(64);

async function worldOf(t: { teardown(end: () => Promise<void>): void }) {
  const world = await adminWorld((end) => t.teardown(end));
  const { registry } = world;
  return {
    ...world,
    join: (id: string) =>
      registry.putNode(
        {
          schema: REGISTRY_SCHEMA,
          id,
          incarnation: 'i1',
          address: '127.0.0.1:8011',
          state: 'SERVING',
          zone: 'z',
          memoryLimitBytes: 100,
        },
        [
          {
            model: 'digits',
            version: 1,
            manifestSha256: HASH,
            state: id === 'a' ? 'READY' : 'FAILED',
            reason: id === 'a' ? '' : 'no such operator',
            memoryBytes: 40,
          },
        ],
        60_000,
      ),
    assign: (more: Partial<AssignmentEntry> = {}) =>
      registry.putShard({
        schema: REGISTRY_SCHEMA,
        index: shardOf('digits'),
        epoch: 3,
        revision: 5,
        entries: [
          {
            model: 'digits',
            version: 1,
            manifestSha256: HASH,
            nodes: ['a', 'b'],
            weight: 1,
            reason: '',
            isIdempotent: true,
            ...more,
          },
        ],
      }),
  };
}

test('the status shows nodes, copies, what is wanted and who leads', async (t) => {
  const { cluster, registry, join, assign } = await worldOf(t);
  await join('a');
  await join('b');
  await assign();
  await registry.acquireLease({ name: 'leader', owner: 'c1/uuid', epoch: 3 }, 60_000);
  const status = await cluster.getClusterStatus({});
  t.like(status, { leaderId: 'c1', leaderEpoch: 3n, assignmentRevision: 5n });
  t.deepEqual(
    status.nodes.map(({ id }) => id),
    ['a', 'b'],
  );
  t.like(status.nodes[0], {
    state: 'NODE_STATE_SERVING',
    memoryLimitBytes: 100n,
    memoryUsedBytes: 40n,
  });
  t.deepEqual(status.models, [
    {
      modelId: 'digits',
      version: 1n,
      wantedCopies: 2,
      readyCopies: 1,
      failedCopies: 1,
      reason: 'no such operator',
      weight: 1,
    },
  ]);
});

test('a model that nobody has called yet is on demand, and lacks nothing', async (t) => {
  const { cluster, assign } = await worldOf(t);
  await assign({ isOnDemand: true, nodes: ['a'] });
  const { models } = await cluster.getClusterStatus({});
  t.like(models[0], { wantedCopies: 0, readyCopies: 0 });
  t.regex(models[0]?.reason ?? '', /^on demand/);
});

test('an empty cluster has a status too', async (t) => {
  const { cluster } = await worldOf(t);
  const status = await cluster.getClusterStatus({});
  t.like(status, { leaderId: '', leaderEpoch: 0n, assignmentRevision: 0n });
  t.deepEqual([status.nodes, status.models], [[], []]);
});

test('a watch tells the status now and when it changes', async (t) => {
  const { cluster, join, assign } = await worldOf(t);
  const seen: ClusterStatus[] = [];
  for await (const status of cluster.watchClusterStatus({})) {
    seen.push(status);
    if (seen.length === 1) await join('a');
    if (seen.length === 2) await assign();
    if (seen.length === 3) break;
  }
  t.deepEqual(
    seen.map(({ nodes, models }) => [nodes.length, models.length]),
    [
      [0, 0],
      [1, 0],
      [1, 1],
    ],
  );
});

test('a watch tells nothing while nothing changes', async (t) => {
  const { cluster, join } = await worldOf(t);
  const watch = cluster.watchClusterStatus({})[Symbol.asyncIterator]();
  await watch.next();
  let isTold = false;
  const next = watch.next().then((found) => {
    isTold = true;
    return found;
  });
  for (let turn = 0; turn < 50; turn += 1) await new Promise((done) => setImmediate(done));
  t.false(isTold);
  await join('a');
  t.is((await next).value?.nodes.length, 1);
  await watch.return?.();
});
