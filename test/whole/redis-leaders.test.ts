// Two control processes and one Redis: whatever happens to the one that leads, the other takes
// over, there are never two, and what the old one still writes is refused.
import test, { type ExecutionContext } from 'ava';
import { Catalog } from '../../catalog/catalog.ts';
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { Leader } from '../../control/leader.ts';
import { openRegistry } from '../../registry/open.ts';
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
  until(what: string, condition: () => boolean | Promise<boolean>): Promise<void>;
}

async function world(t: ExecutionContext): Promise<World> {
  const server = await startRedis();
  t.teardown(() => server.end());
  const link = await tcpProxy(server.port);
  t.teardown(() => link.end());
  const open = (port: number): Registry => {
    const registry = openRegistry(`redis://127.0.0.1:${port}`, { clock: systemClock, log });
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
  const registry = open(server.port);
  const until: World['until'] = (what, condition) =>
    untilTrue(what, () => {
      if (first.epoch() !== undefined && second.epoch() !== undefined) t.fail('two leaders');
      return condition();
    });
  first.start();
  await until('the first leads', () => first.epoch() === 1);
  second.start();
  const isWritten = async (): Promise<boolean> =>
    (await registry.shardRevisions()).length === ASSIGNMENT_SHARDS;
  await until('it has written the assignment', isWritten);
  return { server, link, first, second, registry, until };
}

/** Every shard is of this epoch, and none of an older leader's is taken. */
async function isFenced(t: ExecutionContext, registry: Registry, epoch: number): Promise<void> {
  await untilTrue('every shard is of the new epoch', async () =>
    (await registry.shardRevisions()).every((shard) => shard.epoch === epoch),
  );
  const [old] = plan([], 1_000, epoch - 1);
  if (old !== undefined) t.false(await registry.putShard(old));
  t.false(await registry.acquireLease({ name: 'leader', owner: 'c1', epoch: epoch - 1 }, 1_000));
}

const tests: Record<string, (t: ExecutionContext, all: World) => Promise<void>> = {
  'one that is cut off from Redis alone steps down first': async (t, all) => {
    all.link.silence();
    await all.until('the second leads', () => all.second.epoch() === 2);
    await isFenced(t, all.registry, 2);
    all.link.restore();
    // Back, it follows: it does not take the lead from one who has it.
    await all.until('the first hears again', async () => {
      await all.registry.announce('x');
      return all.first.epoch() === undefined && all.second.epoch() === 2;
    });
    await all.second.stop();
    await all.until('the first leads again', () => all.first.epoch() === 3);
    await isFenced(t, all.registry, 3);
  },
  'Redis forgets: one of them leads again, under a later epoch': async (t, all) => {
    t.is(await all.server.ask('FLUSHALL'), '+OK');
    const epoch = (): number => all.first.epoch() ?? all.second.epoch() ?? 0;
    await all.until('one leads', () => epoch() >= 2);
    await all.until('the assignment is written again', async () => {
      return (await all.registry.shardRevisions()).length === ASSIGNMENT_SHARDS;
    });
    await isFenced(t, all.registry, epoch());
  },
  'Redis is restored from an old state: the epoch goes on all the same': async (t, all) => {
    t.is(await all.server.ask('SAVE'), '+OK');
    await all.first.stop();
    await all.until('the second leads', () => all.second.epoch() === 2);
    await all.server.kill();
    await all.server.start();
    // The old state says that c1 holds the lease under epoch 1; its time has run out or soon will.
    await all.until('the second leads again', () => (all.second.epoch() ?? 0) > 2);
    await isFenced(t, all.registry, all.second.epoch() ?? 0);
  },
};

for (const [title, body] of Object.entries(tests)) {
  test(`two leaders on Redis: ${title}`, async (t) => {
    if (redisProgram() === undefined) return skip(t, NO_REDIS);
    await body(t, await world(t));
  });
}
