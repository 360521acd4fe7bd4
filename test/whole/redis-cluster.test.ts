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
import { keysOf } from '../../registry/redis/keys.ts';
import { RedisRegistry } from '../../registry/redis/redis-registry.ts';
import { ASSIGNMENT_SHARDS, NODE_TTL_MS, type Registry } from '../../registry/registry.ts';
import { shardOf } from '../../registry/shards.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import { startClusterGroup, startSentinelGroup } from '../support/redis-groups.ts';
import { NO_REDIS, pause, redisProgram, startRedis, untilTrue } from '../support/redis-server.ts';
import { skip } from '../support/skip.ts';
import { type WholeCluster, wholeCluster } from '../support/whole-cluster.ts';

const INFER = '/inference.GRPCInferenceService/ModelInfer';
const CALL_TIMEOUT_MS = 30_000;
const CALLERS = 2;
const LEASE = 'leader';
/** Leases run out, leaders wait for nodes; on a busy machine all of it takes longer. */
const FILL_TIMEOUT_MS = 60_000;
const log = createLog({ role: 'test', level: 'silent' });

interface Servers {
  end(): Promise<void>;
}

interface World<S extends Servers> {
  readonly servers: S;
  readonly cluster: WholeCluster;
  readonly registry: Registry;
}

async function world<S extends Servers>(
  t: ExecutionContext,
  start: () => Promise<S>,
  addressOf: (servers: S) => string,
): Promise<World<S>> {
  const ends: (() => Promise<unknown>)[] = [];
  t.teardown(async () => {
    for (const end of ends.reverse()) await end();
  });
  const servers = await start();
  ends.push(() => servers.end());
  const address = addressOf(servers);
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
  return { servers, cluster, registry };
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

interface Loss {
  /** What happens to Redis, or to a part of it. */
  happen(): Promise<void>;
  /** The leader loses its lease too, or may keep it. */
  readonly takesLease: boolean;
}

/** Loses what Redis held, under calls; then all is as it was. */
async function survives<S extends Servers>(
  t: ExecutionContext,
  { cluster, registry }: World<S>,
  { happen, takesLease }: Loss,
): Promise<void> {
  const held = await holders(registry);
  const epoch = (await registry.lease(LEASE))?.epoch ?? 0;
  const calls = call(cluster);
  await calls.answers(20);
  await happen();
  await untilTrue(
    'the registry is filled again',
    () => isWhole(registry, takesLease ? epoch : epoch - 1),
    FILL_TIMEOUT_MS,
  );
  await calls.answers(20);
  await t.notThrowsAsync(calls.stop());
  t.deepEqual(await holders(registry), held, 'nothing was moved');
  t.deepEqual(await homes(registry), held);
}

async function dies({ cluster, registry }: World<Servers>): Promise<void> {
  const [home = ''] = await holders(registry);
  const calls = call(cluster);
  await calls.answers(20);
  cluster.kill(home);
  await untilTrue('the other has it', async () => {
    const [now] = await holders(registry);
    return now !== undefined && now !== home;
  });
  await calls.answers(100);
  await calls.stop();
}

if (redisProgram() === undefined) {
  test('the cluster on Redis', (t) => skip(t, NO_REDIS));
} else {
  const onOne = (t: ExecutionContext) =>
    world(t, startRedis, ({ port }) => `redis://127.0.0.1:${port}`);

  test('on Redis: FLUSHALL: no call fails, nothing moves', async (t) => {
    const all = await onOne(t);
    const happen = async (): Promise<void> => {
      t.is(await all.servers.ask('FLUSHALL'), '+OK');
    };
    await survives(t, all, { happen, takesLease: true });
  });

  test('on Redis: killed three times and away longer than a lease: no call fails', async (t) => {
    const all = await onOne(t);
    const happen = async (): Promise<void> => {
      for (let turn = 0; turn < 3; turn += 1) {
        await all.servers.kill();
        await all.servers.start();
      }
      await all.servers.kill();
      await pause(2 * NODE_TTL_MS);
      await all.servers.start();
    };
    await survives(t, all, { happen, takesLease: true });
  });

  test('on Redis: a node dies: the other one gets its model, calls wait for it', async (t) => {
    const all = await onOne(t);
    await t.notThrowsAsync(dies(all));
  });

  test('on Sentinel: a planned fail-over: no call fails, nothing moves', async (t) => {
    const all = await world(t, startSentinelGroup, ({ address }) => address);
    const happen = (): Promise<void> => all.servers.failOver();
    await survives(t, all, { happen, takesLease: false });
  });

  test('on a Redis Cluster: a server that has shards but not the lease dies', async (t) => {
    const all = await world(t, startClusterGroup, ({ address }) => address);
    const { ownerOf, servers, whole } = all.servers;
    const lease = await ownerOf(keysOf('torus', 0).lease(LEASE)[0] ?? '');
    const other = servers.find((server) => server !== lease.owner);
    const before = await all.registry.shardRevisions();
    const happen = async (): Promise<void> => {
      await other?.kill();
      await other?.start();
      await whole();
      // The leader looks for itself each 10 seconds; a hint of anything makes it look now.
      await all.registry.announce('look');
    };
    await survives(t, all, { happen, takesLease: false });
    t.is((await all.registry.shardRevisions()).length, before.length);
  });
}
