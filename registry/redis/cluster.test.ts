// The registry on Redis Cluster: the contract, a slot that moves to another server, and a server
// that dies.
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { type ClusterGroup, startClusterGroup } from '../../test/support/redis-groups.ts';
import {
  NO_REDIS,
  pause,
  type RedisServer,
  redisProgram,
  untilTrue,
} from '../../test/support/redis-server.ts';
import { skip } from '../../test/support/skip.ts';
import { node as nodeRecord, plan } from '../../test/support/small-cluster.ts';
import type { Registry } from '../registry.ts';
import { CALL_TIMEOUT_MS } from './connection.ts';
import { keysOf } from './keys.ts';
import { CLUSTER_RIGHTS, openOnRedis, RIGHTS, redisContract } from './redis.contract.ts';

const LONG_MS = 600_000;
const BOUND_MS = CALL_TIMEOUT_MS + 10_000;
const keys = keysOf('torus', 0);

interface Scene {
  readonly group: ClusterGroup;
  readonly registry: Registry;
}

async function scene(t: ExecutionContext): Promise<Scene> {
  const group = await startClusterGroup();
  t.teardown(() => group.end());
  const registry = openOnRedis(group.address);
  t.teardown(() => registry.close());
  await registry.putNode(nodeRecord('n1'), [], LONG_MS);
  for (const shard of plan([])) await registry.putShard(shard);
  return { group, registry };
}

/** Beats without a pause; each ends well or with UNAVAILABLE. */
function beat(t: ExecutionContext, registry: Registry) {
  let [isOver, failures, beats] = [false, 0, 0];
  const beating = (async () => {
    while (!isOver) {
      try {
        t.true(await registry.heartbeat('n1', 'n1-1', LONG_MS), 'the node is never forgotten');
        beats += 1;
      } catch (error) {
        t.true(error instanceof StatusError && error.code === Code.UNAVAILABLE, String(error));
        failures += 1;
      }
      await pause(2);
    }
  })();
  return {
    beats: () => beats,
    failures: () => failures,
    async stop() {
      isOver = true;
      await beating;
    },
  };
}

async function expectOk(server: RedisServer, ...command: readonly string[]): Promise<void> {
  const answer = await server.ask(...command);
  if (answer !== '+OK') throw new Error(`${command.join(' ')}: ${answer}`);
}

const tests: Record<string, (t: ExecutionContext, scene: Scene) => Promise<void>> = {
  'a slot moves under heartbeats: ASK, TRYAGAIN and MOVED': async (t, { group, registry }) => {
    const [key = ''] = keys.membership;
    const { slot, owner } = await group.ownerOf(key);
    const target = group.servers.find((server) => server !== owner);
    if (target === undefined) return t.fail('a cluster has several servers');
    const idOf = async (server: RedisServer): Promise<string> =>
      (await server.ask('CLUSTER', 'MYID')).split('\r\n')[1] ?? '';
    const [from, to] = [await idOf(owner), await idOf(target)];
    const beats = beat(t, registry);
    await untilTrue('beats', () => beats.beats() > 10);
    await expectOk(target, 'CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', from);
    await expectOk(owner, 'CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', to);
    for (const one of keys.membership) {
      await expectOk(owner, 'MIGRATE', '127.0.0.1', String(target.port), one, '0', '5000');
      await pause(20);
    }
    const moved = beats.beats();
    // The owner has none of the keys: it sends callers on, who must ask there.
    await untilTrue('beats of the one it moves to', () => beats.beats() > moved + 10);
    for (const server of [target, owner, ...group.servers]) {
      await expectOk(server, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', to);
    }
    const settled = beats.beats();
    await untilTrue('beats after the move', () => beats.beats() > settled + 10);
    await beats.stop();
    t.is((await group.ownerOf(key)).owner, target);
    t.deepEqual(await registry.nodes(), [nodeRecord('n1')]);
  },
  'a server dies, and comes back without its memory': async (t, { group, registry }) => {
    const { owner } = await group.ownerOf(keys.membership[0] ?? '');
    const before = await registry.shardRevisions();
    t.is(before.length, 256);
    await owner.kill();
    const hasty = openOnRedis(group.address, CALL_TIMEOUT_MS);
    t.teardown(() => hasty.close());
    const startMs = performance.now();
    const unavailable = { instanceOf: StatusError, code: Code.UNAVAILABLE };
    await Promise.all([
      t.throwsAsync(hasty.heartbeat('n1', 'n1-1', LONG_MS), unavailable),
      t.throwsAsync(hasty.nodes(), unavailable),
      t.throwsAsync(hasty.shardRevisions(), unavailable),
    ]);
    t.true(performance.now() - startMs < BOUND_MS);
    await owner.start();
    await group.whole();
    await untilTrue('it answers', async () => (await registry.nodes()).length === 0);
    t.false(await registry.heartbeat('n1', 'n1-1', LONG_MS));
    await registry.putNode(nodeRecord('n1'), [], LONG_MS);
    t.deepEqual(await registry.nodes(), [nodeRecord('n1')]);
    // The shards of the others are still there.
    const after = await registry.shardRevisions();
    t.true(after.length > 0 && after.length < before.length, String(after.length));
    t.is((await registry.shards(after.map(({ index }) => index))).length, after.length);
    // Whoever watches hears again, on whichever server it is now.
    let hints = 0;
    const unwatch = registry.watch(({ kind }) => {
      if (kind === 'announcement') hints += 1;
    });
    await untilTrue('a hint', async () => {
      await registry.announce('jobs');
      return hints > 0;
    });
    unwatch();
  },
};

if (redisProgram() === undefined) {
  test('the registry on Redis Cluster', (t) => skip(t, NO_REDIS));
} else {
  const group = startClusterGroup();
  test.after.always(async () => (await group).end());
  redisContract('cluster', async () => (await group).address);
  test('a user with the rights that are told for a cluster', async (t) => {
    const { address, servers } = await group;
    for (const server of servers) {
      await expectOk(server, 'ACL', 'SETUSER', 'torus', 'on', '>pw', ...RIGHTS, ...CLUSTER_RIGHTS);
    }
    const registry = openOnRedis(address.replace('://', '://torus:pw@'));
    t.teardown(() => registry.close());
    let hints = 0;
    registry.watch(() => {
      hints += 1;
    });
    await untilTrue('it hears', () => hints > 0);
    t.true(await registry.acquireLease({ name: 'acl', owner: 'a', epoch: 1 }, LONG_MS));
    await untilTrue('it hears itself', async () => {
      await registry.announce('jobs');
      return hints > 2;
    });
  });
  for (const [title, body] of Object.entries(tests)) {
    test(title, async (t) => body(t, await scene(t)));
  }
}
