// What happens to the registry when its Redis dies, forgets, stalls, fills up or is demoted. Every
// server here is a real one that is treated badly.
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import {
  NO_REDIS,
  type RedisOptions,
  type RedisServer,
  redisProgram,
  startRedis,
  untilTrue,
} from '../../test/support/redis-server.ts';
import { skip } from '../../test/support/skip.ts';
import { node as nodeRecord, plan } from '../../test/support/small-cluster.ts';
import type { AssignmentShard, Lease, Registry, RegistryChange } from '../registry.ts';
import { CALL_TIMEOUT_MS } from './connection.ts';
import { openOnRedis } from './redis.contract.ts';

const LONG_MS = 600_000;
/** A call's own bound, and the rest for a machine that does many things at once. */
const BOUND_MS = CALL_TIMEOUT_MS + 10_000;
const LEASE: Lease = { name: 'leader', owner: 'a', epoch: 4 };
const UNAVAILABLE = { instanceOf: StatusError, code: Code.UNAVAILABLE };

function shard(epoch: number, revision: number): AssignmentShard {
  const [first] = plan([], revision, epoch);
  if (first === undefined) throw new Error('a plan has shards');
  return first;
}

interface Scene {
  readonly server: RedisServer;
  readonly registry: Registry;
  /** Another client, with the product's own limit of waiting; the first one is patient. */
  readonly hasty: Registry;
}

async function scene(t: ExecutionContext, options: RedisOptions = {}): Promise<Scene> {
  const server = await startRedis(options);
  t.teardown(() => server.end());
  const registry = openOnRedis(`redis://127.0.0.1:${server.port}`);
  const hasty = openOnRedis(`redis://127.0.0.1:${server.port}`, CALL_TIMEOUT_MS);
  t.teardown(() => Promise.all([registry.close(), hasty.close()]));
  return { server, registry, hasty };
}

async function fill(registry: Registry): Promise<void> {
  await registry.putNode(nodeRecord('n1'), [], LONG_MS);
  await registry.acquireLease(LEASE, LONG_MS);
  await registry.putShard(shard(4, 1));
}

/** Every method that asks Redis. */
function calls(registry: Registry): Record<string, () => Promise<unknown>> {
  return {
    putNode: () => registry.putNode(nodeRecord('n1'), [], LONG_MS),
    heartbeat: () => registry.heartbeat('n1', 'n1-1', LONG_MS),
    putCopies: () => registry.putCopies('n1', 'n1-1', []),
    removeNode: () => registry.removeNode('n1', 'n1-1'),
    nodes: () => registry.nodes(),
    copies: () => registry.copies(),
    acquireLease: () => registry.acquireLease(LEASE, LONG_MS),
    renewLease: () => registry.renewLease(LEASE, LONG_MS),
    releaseLease: () => registry.releaseLease(LEASE),
    lease: () => registry.lease('leader'),
    putShard: () => registry.putShard(shard(4, 1)),
    shardRevisions: () => registry.shardRevisions(),
    shards: () => registry.shards([0]),
    announce: () => registry.announce('jobs'),
  };
}

/** Each call, all at once, ends with UNAVAILABLE within its bound. */
async function allFail(t: ExecutionContext, registry: Registry): Promise<void> {
  const startMs = performance.now();
  const all = Object.entries(calls(registry)).map(([name, call]) =>
    t.throwsAsync(call(), UNAVAILABLE, name),
  );
  await Promise.all(all);
  t.true(performance.now() - startMs < BOUND_MS);
}

function works(registry: Registry): Promise<void> {
  return untilTrue('the registry works again', async () => {
    for (const call of Object.values(calls(registry))) await call();
    return true;
  });
}

/** Redis forgot everything: each client finds out and tells it again. */
async function isForgotten(t: ExecutionContext, registry: Registry): Promise<void> {
  t.false(await registry.heartbeat('n1', 'n1-1', LONG_MS));
  t.false(await registry.putCopies('n1', 'n1-1', []));
  t.false(await registry.renewLease(LEASE, LONG_MS));
  t.is(await registry.lease('leader'), undefined);
  t.deepEqual(await registry.nodes(), []);
  t.deepEqual(await registry.shardRevisions(), []);
  await fill(registry);
  t.true(await registry.heartbeat('n1', 'n1-1', LONG_MS));
  t.true(await registry.renewLease(LEASE, LONG_MS));
  t.deepEqual(await registry.shards([0]), [shard(4, 1)]);
}

function untilHeard(registry: Registry, isWanted: (one: RegistryChange) => boolean) {
  const seen: RegistryChange[] = [];
  const unwatch = registry.watch((change) => seen.push(change));
  return {
    seen,
    unwatch,
    heard: () => untilTrue('a hint', () => seen.some(isWanted)),
  };
}

const tests: Record<string, (t: ExecutionContext) => Promise<void>> = {
  'never there: each call fails in time; there at last: it works by itself': async (t) => {
    const { server, registry, hasty } = await scene(t);
    await server.kill();
    await allFail(t, hasty);
    await server.start();
    await works(registry);
  },
  'killed under calls, and back without its memory': async (t) => {
    const { server, registry, hasty } = await scene(t);
    await fill(registry);
    const { heard, seen } = untilHeard(registry, ({ kind }) => kind === 'all');
    await heard();
    let isOver = false;
    const errors: unknown[] = [];
    const caller = (async () => {
      while (!isOver) {
        await hasty.heartbeat('n1', 'n1-1', LONG_MS).catch((error) => errors.push(error));
      }
    })();
    await server.kill();
    await untilTrue('a failed call', () => errors.length > 0);
    isOver = true;
    await caller;
    t.true(errors.every((one) => one instanceof StatusError && one.code === Code.UNAVAILABLE));
    await allFail(t, hasty);
    seen.length = 0;
    await server.start();
    await untilTrue('it answers', async () => (await registry.nodes()).length === 0);
    await isForgotten(t, registry);
    // Its watchers know that they have missed something.
    await heard();
  },
  'FLUSHALL and SCRIPT FLUSH on a connection that stays': async (t) => {
    const { server, registry } = await scene(t);
    await works(registry);
    await fill(registry);
    t.is(await server.ask('SCRIPT', 'FLUSH'), '+OK');
    t.true(await registry.heartbeat('n1', 'n1-1', LONG_MS));
    t.is(await server.ask('FLUSHALL'), '+OK');
    await isForgotten(t, registry);
  },
  'a server that stalls: each call ends in time, then it works again': async (t) => {
    const { server, hasty } = await scene(t);
    await works(hasty);
    server.pause();
    await allFail(t, hasty);
    await allFail(t, hasty);
    server.resume();
    await works(hasty);
  },
  'restored from an old state while it loads: not ready, then it knows less': async (t) => {
    const { server, registry, hasty } = await scene(t);
    await fill(registry);
    await registry.acquireLease({ name: 'job', owner: 'b', epoch: 1 }, 50);
    const many = "for i = 1, 10000 do redis.call('SET', 'filler:' .. i, i) end";
    await server.ask('EVAL', many, '0');
    t.is(await server.ask('SAVE'), '+OK');
    await registry.putShard(shard(5, 9));
    await server.kill();
    // 10,000 keys, 500 microseconds each, looking up from it after each few bytes.
    await server.start([
      ...['--key-load-delay', '500'],
      ...['--loading-process-events-interval-bytes', '1024'],
    ]);
    t.regex(await server.ask('PING'), /^-LOADING/);
    await t.throwsAsync(hasty.nodes(), UNAVAILABLE);
    await untilTrue('it has loaded', async () => (await registry.nodes()).length === 1);
    t.deepEqual(await registry.shards([0]), [shard(4, 1)]);
    t.is(await registry.lease('job'), undefined);
    t.true(await registry.putShard(shard(5, 9)));
  },
  'out of memory: what lives goes on living, what grows is refused': async (t) => {
    const { server, registry } = await scene(t);
    await fill(registry);
    t.is(await server.ask('CONFIG', 'SET', 'maxmemory', '1'), '+OK');
    const full = { instanceOf: StatusError, code: Code.RESOURCE_EXHAUSTED, message: /maxmemory/ };
    await t.throwsAsync(registry.putNode(nodeRecord('n2'), [], LONG_MS), full);
    await t.throwsAsync(registry.putShard(shard(4, 2)), full);
    t.true(await registry.heartbeat('n1', 'n1-1', LONG_MS));
    t.true(await registry.renewLease(LEASE, LONG_MS));
    t.deepEqual(await registry.nodes(), [nodeRecord('n1')]);
    t.is((await registry.copies()).size, 1);
    t.deepEqual(await registry.shards([0]), [shard(4, 1)]);
    t.is(await server.ask('CONFIG', 'SET', 'maxmemory', '0'), '+OK');
    t.true(await registry.putShard(shard(4, 2)));
  },
  'a master that becomes a replica takes no writes, and does again as a master': async (t) => {
    const { server, registry } = await scene(t);
    await fill(registry);
    t.is(await server.ask('REPLICAOF', '127.0.0.1', '1'), '+OK');
    await t.throwsAsync(registry.heartbeat('n1', 'n1-1', LONG_MS), UNAVAILABLE);
    await t.throwsAsync(registry.putShard(shard(4, 2)), UNAVAILABLE);
    t.is(await server.ask('REPLICAOF', 'NO', 'ONE'), '+OK');
    await works(registry);
  },
  'watchers that lost their connection, or hear nonsense, go on hearing': async (t) => {
    const { server, registry } = await scene(t);
    const { heard, seen } = untilHeard(registry, ({ kind }) => kind === 'all');
    await heard();
    seen.length = 0;
    t.regex(await server.ask('CLIENT', 'KILL', 'TYPE', 'pubsub'), /^:1/);
    await heard();
    seen.length = 0;
    for (const text of ['', 'x', 'assignment 256', 'assignment -1', 'nodes'.repeat(1_000)]) {
      await server.ask('PUBLISH', 'torus:0:changes', text);
    }
    await registry.announce('end');
    await untilTrue('the last hint', () => seen.length > 0);
    t.deepEqual(seen, [{ kind: 'announcement', topic: 'end' }]);
  },
  'a node that falls silent is told of by the heartbeat of another': async (t) => {
    const { registry } = await scene(t);
    const { heard, seen } = untilHeard(registry, ({ kind }) => kind === 'all');
    await heard();
    await registry.putNode(nodeRecord('n1'), [], LONG_MS);
    await registry.putNode(nodeRecord('n2'), [], 50);
    const hints = (): number => seen.filter(({ kind }) => kind === 'nodes').length;
    await untilTrue('both are told of', () => hints() === 2);
    await untilTrue('the end of one is told', async () => {
      t.true(await registry.heartbeat('n1', 'n1-1', LONG_MS));
      return hints() === 3;
    });
    t.deepEqual(await registry.nodes(), [nodeRecord('n1')]);
  },
  'a closed client ends what it was asked, and its process may end': async (t) => {
    const { server, registry } = await scene(t);
    server.pause();
    const asked = registry.nodes();
    await registry.close();
    await t.throwsAsync(asked, UNAVAILABLE);
    server.resume();
  },
};

for (const [title, body] of Object.entries(tests)) {
  test(title, (t) => (redisProgram() === undefined ? skip(t, NO_REDIS) : body(t)));
}
