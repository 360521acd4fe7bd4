// What stands in Redis is not believed: values that no Torus wrote, that a newer one wrote, or that
// are too many or too large, on their way in and back.
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { Code, StatusError } from '../../common/status.ts';
import {
  NO_REDIS,
  type RedisServer,
  redisProgram,
  startRedis,
} from '../../test/support/redis-server.ts';
import { skip } from '../../test/support/skip.ts';
import { copy, entry, node as nodeRecord, plan } from '../../test/support/small-cluster.ts';
import type { AssignmentEntry, AssignmentShard, Registry } from '../registry.ts';
import { parseRedisAddress } from './address.ts';
import { type Keys, keysOf } from './keys.ts';
import { MAX_NODES } from './membership.ts';
import {
  MAX_COPIES_BYTES,
  MAX_COPIES_OF_NODE,
  MAX_RECORD_BYTES,
  MAX_SHARD_BYTES,
} from './records.ts';
import { ownPrefix, PATIENT_MS } from './redis.contract.ts';
import { RedisRegistry } from './redis-registry.ts';

const LONG_MS = 600_000;

interface Scene {
  readonly server: RedisServer;
  readonly registry: Registry;
  readonly keys: Keys;
  /** What was logged as an error. */
  readonly logged: string[];
}

function shardOf(entries: readonly AssignmentEntry[], revision = 1): AssignmentShard {
  const [first] = plan([], revision);
  if (first === undefined) throw new Error('a plan has shards');
  return { ...first, entries };
}

let shared: RedisServer | undefined;

function scene(t: ExecutionContext, server = shared): Scene {
  if (server === undefined) throw new Error('the server runs before the tests');
  const address = ownPrefix(`redis://127.0.0.1:${server.port}`);
  const logged: string[] = [];
  const destination = { write: (line: string) => void logged.push(line) };
  const log = createLog({ role: 'test', level: 'error', destination });
  const registry = new RedisRegistry({
    ...{ address: parseRedisAddress(address), clock: systemClock, log },
    callTimeoutMs: PATIENT_MS,
  });
  t.teardown(() => registry.close());
  const keys = keysOf(address.split('prefix=')[1] ?? '', 0);
  return { server, registry, keys, logged };
}

const NODE = JSON.stringify(nodeRecord('n1'));

/** What somebody puts where, who meets it, and what the error says. */
interface Spoiled {
  readonly title: string;
  /** Field of the key, else the key itself becomes a string. */
  readonly field?: string;
  readonly value: string;
  key(keys: Keys): string;
  meet(registry: Registry): Promise<unknown>;
  readonly message: RegExp;
}

const records = ({ membership }: Keys): string => membership[2] ?? '';
const copies = ({ membership }: Keys): string => membership[3] ?? '';
const leaseOf = (registry: Registry) => registry.lease('leader');
const acquire = (registry: Registry) =>
  registry.acquireLease({ name: 'leader', owner: 'a', epoch: 1 }, LONG_MS);

const SPOILED: readonly Spoiled[] = [
  {
    title: 'a record that is no JSON',
    ...{ field: 'n1', value: '{"schema":1', key: records, message: /'n1' is not JSON/ },
    meet: (registry) => registry.nodes(),
  },
  {
    title: 'a record of another shape',
    ...{ field: 'n1', value: '{"schema":1}', key: records, message: /'n1' is not valid at id/ },
    meet: (registry) => registry.nodes(),
  },
  {
    title: 'a record that is a number',
    ...{ field: 'n1', value: '7', key: records, message: /not valid/ },
    meet: (registry) => registry.nodes(),
  },
  {
    title: "another node's record",
    ...{ field: 'n1', value: NODE.replace('"n1"', '"n2"'), key: records, message: /another node/ },
    meet: (registry) => registry.nodes(),
  },
  {
    title: 'a record that is too large',
    ...{ field: 'n1', value: 'x'.repeat(MAX_RECORD_BYTES + 1), key: records },
    ...{ meet: (registry: Registry) => registry.nodes(), message: /'n1' has 16385 bytes/ },
  },
  {
    title: 'records that are one string',
    ...{ value: 'x', key: records, message: /another kind of value/ },
    meet: (registry) => registry.nodes(),
  },
  {
    title: 'copies of another shape',
    ...{ field: 'n1', value: '{"schema":1,"copies":[{"model":"m"}]}', key: copies },
    ...{
      meet: (registry: Registry) => registry.copies(),
      message: /not valid at copies.0.version/,
    },
  },
  {
    title: 'a holder without an epoch',
    ...{ field: 'owner', value: 'x', key: (keys) => keys.lease('leader')[0] ?? '' },
    ...{ meet: leaseOf, message: /not written by Torus/ },
  },
  {
    title: 'a fence that is no epoch',
    ...{ value: '1e99', key: (keys) => keys.lease('leader')[1] ?? '' },
    ...{ meet: acquire, message: /not an epoch/ },
  },
  {
    title: 'a revision that is none',
    ...{ field: '0', value: '9 9 9', key: (keys) => keys.shards(0)[0] ?? '' },
    ...{ meet: (registry: Registry) => registry.putShard(shardOf([], 2)), message: /no revision/ },
  },
  {
    title: 'a revision beyond all numbers',
    ...{ field: '0', value: '99999999999999999 1', key: (keys) => keys.shards(0)[0] ?? '' },
    ...{ meet: (registry: Registry) => registry.shardRevisions(), message: /not a whole number/ },
  },
  {
    title: 'a revision that is too long',
    ...{ field: '0', value: '9'.repeat(40), key: (keys) => keys.shards(0)[0] ?? '' },
    ...{ meet: (registry: Registry) => registry.shardRevisions(), message: /40 bytes/ },
  },
  {
    title: 'a shard of another index',
    field: '0',
    value: JSON.stringify({ ...shardOf([]), index: 16 }),
    ...{ key: (keys) => keys.shards(0)[1] ?? '', message: /another shard/ },
    meet: (registry) => registry.shards([0]),
  },
];

const tests: Record<string, (t: ExecutionContext, scene: Scene) => Promise<void>> = {
  'a newer release beside this one: its entries are left aside, and said once': async (t, all) => {
    const { server, registry, keys, logged } = all;
    await registry.putNode(nodeRecord('n1'), [copy('m', 1)], LONG_MS);
    await registry.putNode(nodeRecord('n2'), [copy('m', 1)], LONG_MS);
    await registry.putShard(shardOf([entry('m', 1)]));
    const newer = JSON.stringify({ schema: 2, id: 'n2', more: 'x' });
    await server.ask('HSET', records(keys), 'n2', newer);
    await server.ask('HSET', keys.membership[3] ?? '', 'n2', '{"schema":2,"held":[]}');
    await server.ask('HSET', keys.shards(0)[1] ?? '', '0', '{"schema":2,"index":0}');
    for (let turn = 0; turn < 3; turn += 1) {
      t.deepEqual(await registry.nodes(), [nodeRecord('n1')]);
      t.deepEqual([...(await registry.copies()).keys()], ['n1']);
      t.deepEqual(await registry.shards([0]), []);
    }
    t.is(logged.length, 3);
    for (const line of logged) t.regex(line, /has schema 2, this program reads up to 1: a newer/);
    // Fields that this release does not know are no newer schema.
    await server.ask('HSET', records(keys), 'n2', NODE.replace('"n1"', '"n2","new":[1]'));
    t.deepEqual(await registry.nodes(), [
      nodeRecord('n1'),
      nodeRecord('n2', { incarnation: 'n1-1', address: 'n1:1' }),
    ]);
  },
  'half of a node, as after an eviction, is no node': async (t, { server, registry, keys }) => {
    for (const at of [1, 2, 3, 4]) {
      await registry.putNode(nodeRecord('n1'), [copy('m', 1)], LONG_MS);
      await server.ask('HDEL', keys.membership[at] ?? '', 'n1');
      const isKnown = await registry.heartbeat('n1', 'n1-1', LONG_MS);
      const isShown = (await registry.nodes()).length > 0;
      const hasCopies = (await registry.copies()).size > 0;
      t.false(isKnown && isShown && hasCopies, `without ${keys.membership[at]}`);
      await registry.putNode(nodeRecord('n1'), [copy('m', 1)], LONG_MS);
      t.is((await registry.copies()).get('n1')?.length, 1);
    }
  },
  'what is too much is not written': async (t, { registry }) => {
    const refused = { instanceOf: StatusError, code: Code.RESOURCE_EXHAUSTED };
    const many = Array.from({ length: MAX_COPIES_OF_NODE + 1 }, () => copy('m', 1));
    await t.throwsAsync(registry.putNode(nodeRecord('n1'), many, LONG_MS), refused);
    await t.throwsAsync(registry.putCopies('n1', 'n1-1', many), refused);
    const long = copy('m', 1, 'FAILED', { reason: 'x'.repeat(MAX_COPIES_BYTES) });
    await t.throwsAsync(registry.putNode(nodeRecord('n1'), [long], LONG_MS), refused);
    const zone = 'x'.repeat(MAX_RECORD_BYTES);
    await t.throwsAsync(registry.putNode(nodeRecord('n1', { zone }), [], LONG_MS), refused);
    const reason = 'x'.repeat(MAX_SHARD_BYTES);
    await t.throwsAsync(registry.putShard(shardOf([entry('m', 1, { reason })])), refused);
    const wrong = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
    const longName = 'x'.repeat(600);
    await t.throwsAsync(registry.putNode(nodeRecord(longName), [], LONG_MS), wrong);
    await t.throwsAsync(registry.announce(longName), wrong);
    await t.throwsAsync(registry.announce(''), wrong);
    t.deepEqual(await registry.nodes(), []);
  },
  'as many nodes as are allowed, and one more': async (t, { server, registry, keys }) => {
    const fill = `for i = 1, ${MAX_NODES} do redis.call('ZADD', KEYS[1], 9e15, 'f' .. i) end`;
    await server.ask('EVAL', fill, '1', keys.membership[0] ?? '');
    await t.throwsAsync(registry.putNode(nodeRecord('n1'), [], LONG_MS), {
      code: Code.RESOURCE_EXHAUSTED,
      message: /10000 nodes, which is the most: node 'n1' is one more/,
    });
    await server.ask('ZADD', keys.membership[0] ?? '', '9e15', 'g');
    await t.throwsAsync(registry.nodes(), { code: Code.DATA_LOSS, message: /10001 entries/ });
  },
  'large states come in parts, and again only what changed': async (t) => {
    // Its figures are to be of nobody else.
    const own = await startRedis();
    t.teardown(() => own.end());
    const { server, registry } = scene(t, own);
    const reason = 'y'.repeat(1_000_000);
    const ids = Array.from({ length: 12 }, (_, at) => `n${10 + at}`);
    for (const id of ids) {
      await registry.putNode(nodeRecord(id), [copy('m', 1, 'FAILED', { reason })], LONG_MS);
    }
    const sentBytes = async (): Promise<number> => {
      const stats = await server.ask('INFO', 'stats');
      return Number(/total_net_output_bytes:(\d+)/.exec(stats)?.[1]);
    };
    const calls = async (): Promise<number> => {
      const stats = await server.ask('INFO', 'commandstats');
      const found = [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)];
      return found.reduce((sum, [, count]) => sum + Number(count), 0);
    };
    const callsBefore = await calls();
    t.deepEqual([...(await registry.copies()).keys()], ids);
    t.true((await calls()) - callsBefore >= 4, 'one for the nodes, some for 12 MB');
    await registry.putCopies('n10', 'n10-1', [copy('other', 1)]);
    const before = await sentBytes();
    const again = await registry.copies();
    t.deepEqual(again.get('n10'), [copy('other', 1)]);
    t.is(again.get('n21')?.[0]?.reason, reason);
    t.true((await sentBytes()) - before < reason.length);
    // Shards 0, 16, 32 ... are of one group.
    const indices = Array.from({ length: 8 }, (_, at) => at * 16);
    for (const index of indices) {
      await registry.putShard({ ...shardOf([entry('m', 1, { reason })]), index });
    }
    const callsBetween = await calls();
    const shards = await registry.shards(indices);
    t.true((await calls()) - callsBetween >= 2);
    t.deepEqual(
      shards.map(({ index }) => index),
      indices,
    );
    t.true(shards.every(({ entries }) => entries[0]?.reason === reason));
  },
};

if (redisProgram() === undefined) {
  test('values in Redis', (t) => skip(t, NO_REDIS));
} else {
  test.before(async () => {
    shared = await startRedis();
  });
  test.after.always(() => shared?.end());
  for (const { title, field, value, key, meet, message } of SPOILED) {
    test(`refused with its key: ${title}`, async (t) => {
      const { server, registry, keys } = scene(t);
      await registry.putNode(nodeRecord('n1'), [], LONG_MS);
      await registry.putShard(shardOf([]));
      const name = key(keys);
      if (field === undefined) await server.ask('SET', name, value);
      else await server.ask('HSET', name, field, value);
      const error = await t.throwsAsync(meet(registry), { code: Code.DATA_LOSS, message });
      t.true(error?.message.includes(name));
      await server.ask('DEL', name);
      await t.notThrowsAsync(meet(registry), 'deleting it mends it');
    });
  }
  for (const [title, body] of Object.entries(tests)) test(title, (t) => body(t, scene(t)));
}
