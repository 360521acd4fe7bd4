// Two control processes and one Redis: whatever happens to the one that leads, the other takes
// over, and what the old one still writes is refused. There are never two while Redis keeps what
// it took; a Redis that forgets a lease may give it to another before the one who had it finds out
// with its next renewal, within the time that a new leader waits before it plans.
import test, { type ExecutionContext } from 'ava';
import { Catalog } from '../../catalog/catalog.ts';
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { Leader } from '../../control/leader.ts';
import { parseRedisAddress } from '../../registry/redis/address.ts';
import { CALL_TIMEOUT_MS } from '../../registry/redis/connection.ts';
import { RedisRegistry } from '../../registry/redis/redis-registry.ts';
import { ASSIGNMENT_SHARDS, type Registry } from '../../registry/registry.ts';
import { MemoryDocuments } from '../../stores/documents/memory.ts';
import {
  NO_REDIS,
  type RedisServer,
  redisProgram,
  startRedis,
  untilTrue,
} from '../support/redis-server.ts';
import { skip } from '../support/skip.ts';
import { plan } from '../support/small-cluster.ts';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts';

const log = createLog({ role: 'test', level: 'silent' });
/** The rules of waiting are tested in virtual time; here they only cost time. */
const TIMING = { settleMs: 0, massRemovalWaitMs: 0 };

interface World {
  readonly server: RedisServer;
  /** The first leader's only way to Redis. */
  readonly link: TcpProxy;
  readonly first: Leader;
  readonly second: Leader;
  readonly registry: Registry;
  /** Waits, and watches that never both of them lead. */
  untilAlone(what: string, condition: () => boolean | Promise<boolean>): Promise<void>;
}

async function world(t: ExecutionContext): Promise<World> {
  const server = await startRedis();
  t.teardown(() => server.end());
  const link = await tcpProxy(server.port);
  t.teardown(() => link.end());
  const open = (port: number, callTimeoutMs = CALL_TIMEOUT_MS): Registry => {
    const address = parseRedisAddress(`redis://127.0.0.1:${port}`);
    const registry = new RedisRegistry({ address, clock: systemClock, log, callTimeoutMs });
    t.teardown(() => registry.close());
    return registry;
  };
  const store = new MemoryDocuments();
  const lead = (id: string, registry: Registry): Leader => {
    const parts = { catalog: new Catalog(store), registry, clock: systemClock, log };
    const leader = new Leader({ ...parts, id, timing: TIMING });
    t.teardown(() => leader.stop());
    return leader;
  };
  const first = lead('c1', open(link.port));
  const second = lead('c2', open(server.port));
  // Looks at it all; patient, for the machine may be busy.
  const registry = open(server.port, 30_000);
  const untilAlone: World['untilAlone'] = (what, condition) =>
    untilTrue(what, () => {
      if (first.epoch() !== undefined && second.epoch() !== undefined) t.fail('two leaders');
      return condition();
    });
  first.start();
  await untilAlone('the first leads', () => first.epoch() !== undefined);
  second.start();
  const isWritten = async (): Promise<boolean> =>
    (await registry.shardRevisions()).length === ASSIGNMENT_SHARDS && first.epoch() !== undefined;
  await untilAlone('it has written the assignment', isWritten);
  return { server, link, first, second, registry, untilAlone };
}

/** 0: it does not lead. */
function epochOf(leader: Leader): number {
  return leader.epoch() ?? 0;
}

/** Every shard is of the leader's epoch, and none of an older leader's is taken. */
async function isFenced(t: ExecutionContext, registry: Registry, leader: Leader): Promise<void> {
  await untilTrue('every shard is of its epoch', async () => {
    const revisions = await registry.shardRevisions();
    const epoch = epochOf(leader);
    return revisions.length === ASSIGNMENT_SHARDS && revisions.every((one) => one.epoch === epoch);
  });
  const [revision] = await registry.shardRevisions();
  const epoch = (revision?.epoch ?? 0) - 1;
  const [old] = plan([], 1_000, epoch);
  if (old !== undefined) t.false(await registry.putShard(old));
  t.false(await registry.acquireLease({ name: 'leader', owner: 'old', epoch }, 1_000));
}

const tests: Record<string, (t: ExecutionContext, all: World) => Promise<void>> = {
  'one that is cut off from Redis alone steps down first': async (t, all) => {
    const { first, second } = all;
    const before = epochOf(first);
    all.link.silence();
    await all.untilAlone('the second leads', () => epochOf(second) > before);
    await isFenced(t, all.registry, second);
    all.link.restore();
    const then = epochOf(second);
    await second.stop();
    await all.untilAlone('the first leads again', () => epochOf(first) > then);
    await isFenced(t, all.registry, first);
  },
  'Redis forgets: one of them leads again, under a later epoch': async (t, all) => {
    const { first, second } = all;
    const before = epochOf(first);
    t.is(await all.server.ask('FLUSHALL'), '+OK');
    await untilTrue('one leads, under a later epoch', () => {
      const [one, other] = [epochOf(first), epochOf(second)];
      return Math.max(one, other) > before && Math.min(one, other) === 0;
    });
    await isFenced(t, all.registry, epochOf(first) > before ? first : second);
  },
  'Redis is restored from an old state: the epoch goes on all the same': async (t, all) => {
    t.is(await all.server.ask('SAVE'), '+OK');
    await all.first.stop();
    await untilTrue('the second leads', () => epochOf(all.second) > 0);
    const before = epochOf(all.second);
    await all.server.kill();
    await all.server.start();
    // The old state says that the first one holds the lease; its time has run out or soon will.
    await untilTrue('the second leads again', () => epochOf(all.second) > before);
    await isFenced(t, all.registry, all.second);
  },
};

for (const [title, body] of Object.entries(tests)) {
  test(`two leaders on Redis: ${title}`, async (t) => {
    if (redisProgram() === undefined) return skip(t, NO_REDIS);
    await body(t, await world(t));
  });
}
