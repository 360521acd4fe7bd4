// The cluster on a real Redis, each of its parts with a connection of its own: calls go on while
// Redis forgets everything, dies, stays away and comes back empty, and while a node dies.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { CLUSTER_TIMING } from '../../control/leader.ts';
import { TINY_MLP, tinyMlpRequest, writeTinyRepository } from '../../loadtest/tiny-mlp.ts';
import { openRegistry } from '../../registry/open.ts';
import { parseRedisAddress } from '../../registry/redis/address.ts';
import { RedisRegistry } from '../../registry/redis/redis-registry.ts';
import { ASSIGNMENT_SHARDS, NODE_TTL_MS, type Registry } from '../../registry/registry.ts';
import { shardOf } from '../../registry/shards.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import {
  NO_REDIS,
  pause,
  type RedisServer,
  redisProgram,
  startRedis,
  untilTrue,
} from '../support/redis-server.ts';
import { skip } from '../support/skip.ts';
import { type WholeCluster, wholeCluster } from '../support/whole-cluster.ts';

const INFER = '/inference.GRPCInferenceService/ModelInfer';
const CALL_TIMEOUT_MS = 30_000;
const CALLERS = 2;
const LEASE = 'leader';
const log = createLog({ role: 'test', level: 'silent' });

interface World {
  readonly server: RedisServer;
  readonly cluster: WholeCluster;
  readonly registry: Registry;
}

async function world(t: ExecutionContext): Promise<World> {
  const ends: (() => Promise<unknown>)[] = [];
  t.teardown(async () => {
    for (const end of ends.reverse()) await end();
  });
  const server = await startRedis();
  ends.push(() => server.end());
  const address = `redis://127.0.0.1:${server.port}`;
  const cluster = await wholeCluster((end) => ends.push(end), {
    open: () => openRegistry(address, { clock: systemClock, log }),
    timing: CLUSTER_TIMING,
  });
  const folder = await mkdtemp(join(tmpdir(), 'torus-repository-'));
  ends.push(() => rm(folder, { recursive: true, force: true }));
  // Looks at it all; patient, for the machine may be busy.
  const looking = { address: parseRedisAddress(address), callTimeoutMs: 30_000 };
  const registry = new RedisRegistry({ ...looking, clock: systemClock, log });
  ends.push(() => registry.close());
  for (const id of ['node-1', 'node-2']) await cluster.startNode(id);
  await writeTinyRepository(folder);
  await cluster.importRepository(folder);
  await untilTrue('the model is ready', async () => (await holders(registry)).length === 1);
  return { server, cluster, registry };
}

/** Ids of the nodes that say that they have the model. */
async function holders(registry: Registry): Promise<readonly string[]> {
  const copies = await registry.copies();
  const isReady = (id: string): boolean =>
    (copies.get(id) ?? []).some(({ model, state }) => model === TINY_MLP && state === 'READY');
  return [...copies.keys()].filter(isReady);
}

/** Calls without a pause until it is stopped; a call that fails is thrown by `stop`. */
function call({ front }: WholeCluster) {
  let [isOver, answered] = [false, 0];
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!isOver) {
      await invokeUnary(front, INFER, tinyMlpRequest(), { timeoutMs: CALL_TIMEOUT_MS });
      answered += 1;
      // The other parts of the cluster are on this thread too.
      await pause(1);
    }
  });
  const over = Promise.all(callers);
  over.catch(() => {});
  return {
    async answers(more: number): Promise<void> {
      const before = answered;
      while (answered < before + more) await Promise.race([pause(5), over]);
    },
    async stop(): Promise<number> {
      isOver = true;
      await over;
      return answered;
    },
  };
}

/** The registry has both nodes, a leader of a later epoch, and an assignment that is its own. */
async function isWhole(registry: Registry, afterEpoch: number): Promise<boolean> {
  const [nodes, lease] = [await registry.nodes(), await registry.lease(LEASE)];
  if (nodes.length !== 2 || lease === undefined || lease.epoch <= afterEpoch) return false;
  const revisions = await registry.shardRevisions();
  return (
    revisions.length === ASSIGNMENT_SHARDS && revisions.every(({ epoch }) => epoch === lease.epoch)
  );
}

async function homes(registry: Registry): Promise<readonly string[]> {
  const [shard] = await registry.shards([shardOf(TINY_MLP)]);
  return shard?.entries.find(({ model }) => model === TINY_MLP)?.nodes ?? [];
}

/** Loses what Redis held, under calls; then all is as it was, under a later epoch. */
async function survives(t: ExecutionContext, all: World, loss: () => Promise<void>) {
  const { cluster, registry } = all;
  const [held, epoch] = [await holders(registry), (await registry.lease(LEASE))?.epoch ?? 0];
  const calls = call(cluster);
  await calls.answers(20);
  await loss();
  await untilTrue('the registry is filled again', () => isWhole(registry, epoch));
  await calls.answers(20);
  await t.notThrowsAsync(calls.stop());
  t.deepEqual(await holders(registry), held, 'nothing was moved');
  t.deepEqual(await homes(registry), held);
}

const tests: Record<string, (t: ExecutionContext, all: World) => Promise<void>> = {
  'FLUSHALL: no call fails, nothing moves': async (t, all) => {
    await survives(t, all, async () => {
      t.is(await all.server.ask('FLUSHALL'), '+OK');
    });
  },
  'killed three times and away longer than a lease: no call fails': async (t, all) => {
    await survives(t, all, async () => {
      for (let turn = 0; turn < 3; turn += 1) {
        await all.server.kill();
        await all.server.start();
      }
      await all.server.kill();
      await pause(2 * NODE_TTL_MS);
      await all.server.start();
    });
  },
  'a node dies: the other one gets its model, and calls wait for it': async (t, all) => {
    const { cluster, registry } = all;
    const [home = ''] = await holders(registry);
    const calls = call(cluster);
    await calls.answers(20);
    cluster.kill(home);
    await untilTrue('the other has it', async () => {
      const [now] = await holders(registry);
      return now !== undefined && now !== home;
    });
    await calls.answers(100);
    await t.notThrowsAsync(calls.stop());
  },
};

for (const [title, body] of Object.entries(tests)) {
  test(`on Redis: ${title}`, async (t) => {
    if (redisProgram() === undefined) return skip(t, NO_REDIS);
    await body(t, await world(t));
  });
}
