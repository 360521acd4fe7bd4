import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Catalog } from '../catalog/catalog.ts';
import { systemClock, VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { openRegistry } from '../registry/open.ts';
import type { AssignmentShard } from '../registry/registry.ts';
import { openSqliteDocuments } from '../stores/documents/sqlite.ts';
import { madeModels, madeNode } from '../test/scale/made-cluster.ts';
import { fillCatalog } from '../test/support/full-catalog.ts';
import { NO_REDIS, redisProgram, startRedis, untilTrue } from '../test/support/redis-server.ts';
import { skip } from '../test/support/skip.ts';
import { Leader, SINGLE_PROCESS_TIMING } from './leader.ts';
import type { PlanParts, PlanReport } from './planner.ts';
import { MAX_PLAN_MS, PlannerThread } from './planner-thread.ts';

const log = createLog({ role: 'test', level: 'silent' });
const DYING = new URL('../test/support/dying-planner.ts', import.meta.url);
const LONG_MS = 1e9;
const MOST_BLOCKED_MS = 50;

/** A catalog with models, a registry with nodes. */
async function stores(t: ExecutionContext, models: number, nodes: number) {
  const folder = await mkdtemp(join(tmpdir(), 'torus-planner-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const redis = await startRedis();
  t.teardown(() => redis.end());
  const planning = {
    registry: `redis://127.0.0.1:${redis.port}`,
    catalog: join(folder, 'catalog.sqlite'),
  };
  await fillCatalog(planning.catalog, madeModels(models));
  const registry = openRegistry(planning.registry, { clock: systemClock, log });
  t.teardown(() => registry.close());
  for (let at = 0; at < nodes; at += 1) await registry.putNode(madeNode(at), [], LONG_MS);
  return { planning, registry };
}

interface Made {
  readonly shards: Map<number, AssignmentShard>;
  readonly reports: PlanReport[];
  losses: number;
}

function threadOf(
  t: ExecutionContext,
  { planning, registry }: Awaited<ReturnType<typeof stores>>,
  more: { readonly program?: URL; readonly clock?: VirtualClock } = {},
) {
  const made: Made = { shards: new Map(), reports: [], losses: 0 };
  const parts: PlanParts = {
    holdsMassRemovals: false,
    put: async (shard) => {
      made.shards.set(shard.index, shard);
      return (await registry.putShard(shard)) ? 'ok' : 'refused';
    },
    onReport: (report) => made.reports.push(report),
  };
  const onLost = (): void => {
    made.losses += 1;
  };
  const thread = new PlannerThread({
    ...{ ...parts, planning, log, onLost },
    ...{ clock: systemClock, ...more },
  });
  t.teardown(() => thread.stop());
  return { thread, made };
}

/** The longest that one turn of this thread's event loop kept the processor, in milliseconds. */
async function longestTurn(work: Promise<unknown>): Promise<number> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  let longestMs = 0;
  while (!isDone) {
    const before = process.threadCpuUsage();
    await new Promise<void>((resolve) => setImmediate(resolve));
    const { user, system } = process.threadCpuUsage(before);
    longestMs = Math.max(longestMs, (user + system) / 1_000);
  }
  await done;
  return longestMs;
}

const PLAN = { isConfirmed: false };

async function plansApart(t: ExecutionContext): Promise<void> {
  const all = await stores(t, 20_000, 50);
  const { registry } = all;
  const { thread, made } = threadOf(t, all);
  const longestMs = await longestTurn(thread.run({ epoch: 1, ...PLAN }));
  const entries = [...made.shards.values()].flatMap((shard) => shard.entries);
  t.is(entries.length, 20_000);
  t.true(entries.every(({ nodes }) => nodes.length > 0));
  t.is(made.reports[0]?.nodes, 50);
  t.true(longestMs <= MOST_BLOCKED_MS, `one turn took ${longestMs} ms`);
  await registry.removeNode(madeNode(7).id, madeNode(7).incarnation);
  t.is(await thread.run({ epoch: 1, ...PLAN }), 'done');
  const ids = new Set(
    [...made.shards.values()].flatMap((one) => one.entries).flatMap((e) => e.nodes),
  );
  t.false(ids.has(madeNode(7).id));
}

async function survivesAnEnd(t: ExecutionContext): Promise<void> {
  const { thread, made } = threadOf(t, await stores(t, 20, 3), { program: DYING });
  t.is(await thread.run({ epoch: 66, ...PLAN }), 'failed');
  await untilTrue('the end is counted', () => made.losses === 1);
  t.is(made.shards.size, 0);
  t.is(await thread.run({ epoch: 1, ...PLAN }), 'done');
  t.is(made.shards.size, 256);
  t.is(made.losses, 1);
}

async function endsAHang(t: ExecutionContext): Promise<void> {
  const clock = new VirtualClock();
  const { thread, made } = threadOf(t, await stores(t, 20, 3), { program: DYING, clock });
  const plan = thread.run({ epoch: 77, ...PLAN });
  clock.advance(MAX_PLAN_MS);
  t.is(await plan, 'failed');
  t.is(await thread.run({ epoch: 1, ...PLAN }), 'done');
  t.is(made.losses, 1);
}

async function leads(t: ExecutionContext): Promise<void> {
  const { planning, registry } = await stores(t, 20, 3);
  const documents = openSqliteDocuments(planning.catalog);
  t.teardown(() => documents.close());
  const catalog = new Catalog(documents);
  const leader = new Leader({
    ...{ catalog, registry, log, clock: systemClock, id: 'c1', timing: SINGLE_PROCESS_TIMING },
    planner: (parts) =>
      new PlannerThread({ ...parts, planning, log, clock: systemClock, onLost: () => t.fail() }),
  });
  leader.start();
  const model = async (): Promise<readonly string[]> => {
    const shards = await registry.shards(Array.from({ length: 256 }, (_, at) => at));
    return shards.flatMap(({ entries }) => entries).map((entry) => entry.model);
  };
  await untilTrue('all models are assigned', async () => (await model()).length === 20);
  const [first = ''] = await model();
  const { revision } = await catalog.require('model', first);
  t.true(revision > 0);
  await catalog.update('model', first, (doc) => ({
    ...doc,
    loadedVersions: [],
    servingVersion: 0,
  }));
  await untilTrue('what this process changed is planned', async () => {
    return !(await model()).includes(first);
  });
  await leader.stop();
}

const TESTS: Record<string, (t: ExecutionContext) => Promise<void>> = {
  'while 20,000 models are planned on their own thread, this one goes on': plansApart,
  'a thread that ends is replaced, and the plan is made again': survivesAnEnd,
  'a thread that hangs is ended': endsAHang,
  "a leader's plans come from the thread, also of what it was told": leads,
};
for (const [title, body] of Object.entries(TESTS)) {
  test(title, (t) => (redisProgram() === undefined ? skip(t, NO_REDIS) : body(t)));
}
