import test from 'ava';
import { NO_REDIS, redisProgram } from '../support/redis-server.ts';
import { skip } from '../support/skip.ts';
import { type ClusterFigures, measureCluster } from './cluster-run.ts';
import { brokenPromises, changeTable, charts, clusterTable, restTable } from './scale-report.ts';

const WAITS = { restMs: 500, quietMs: 200 };

test('a cluster follows a leave and a join, and asks only for what changed', async (t) => {
  if (redisProgram() === undefined) return skip(t, NO_REDIS);
  const figures: ClusterFigures = await measureCluster(20, 300, WAITS);
  const { start, rest, leave, join } = figures;
  // 32 reads of 8 shards each would be 256 commands: what a router reads at its start.
  t.true(start.router.commands >= 256, JSON.stringify(start));
  t.is(rest.router.commands, 0, JSON.stringify(rest));
  t.true(rest.nodes.commands > 0);
  // Some 18 models were on the node: their shards, and the nodes that took them.
  for (const { router } of [leave, join]) {
    t.true(router.receivedBytes < start.router.receivedBytes / 2, JSON.stringify(figures));
  }
  t.true(figures.longestTurnMs > 0);
  const all = { plans: [], clusters: [figures] };
  t.deepEqual(brokenPromises(all), []);
  for (const table of [clusterTable(all), restTable(all), changeTable(all)]) {
    t.regex(table, /\| 20 \| 300 \|/);
  }
  t.is(charts({ plans: [], clusters: [figures, { ...figures, models: 3_000 }] }).size, 4);
});

test('a broken promise is told with the size of the cluster', (t) => {
  const traffic = { commands: 0, sentBytes: 0, receivedBytes: 0 };
  const roles = { leader: traffic, router: traffic, nodes: traffic };
  const change = { ...roles, convergedMs: 1 };
  const clusters = [
    {
      ...{ nodes: 10, models: 100_000, start: change, leave: change, join: change },
      ...{ rest: roles, restMs: 1, longestTurnMs: 51 },
      router: { heapBytes: 20_000_000, externalBytes: 1 },
    },
  ];
  const step = { cpuMs: 301, movedShare: 0.2, leastShare: 0.1, peak: 1, largest: 1 };
  const plans = [{ nodes: 100, models: 1_000, full: step, join: step, leave: step }];
  t.deepEqual(brokenPromises({ plans, clusters }), [
    '100 nodes, 1000 models: a plan after a change takes too long',
    '100 nodes, 1000 models: a leave moves too much',
    '100 nodes, 1000 models: a join moves too much',
    '10 nodes, 100000 models: the router holds too much',
    "10 nodes, 100000 models: the leader's thread is blocked",
  ]);
});
