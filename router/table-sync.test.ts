import test from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { unavailable } from '../common/status.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import { NODE_TTL_MS, RESYNC_MS, type Registry } from '../registry/registry.ts';
import { shardOf } from '../registry/shards.ts';
import { assign, copy, entry, node, plan, until } from '../test/support/small-cluster.ts';
import { RouteTable } from './route-table.ts';
import { LOST_REGISTRY_GRACE_MS, SYNC_RETRY_MS, startTableSync } from './table-sync.ts';

const log = createLog({ role: 'test', level: 'silent' });

/** A registry that can be away, forget everything, or stop telling of changes. */
function scene() {
  const clock = new VirtualClock();
  let registry: Registry = new MemoryRegistry(clock);
  let isAway = false;
  let isMute = false;
  let failures = 0;
  const asked: string[] = [];
  const listeners = new Set<Parameters<Registry['watch']>[0]>();
  const proxy = new Proxy({} as Registry, {
    get(_, name: keyof Registry) {
      if (name === 'watch') {
        return (listener: Parameters<Registry['watch']>[0]) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        };
      }
      return async (...args: never[]) => {
        if (isAway) {
          failures++;
          throw unavailable('registry is away');
        }
        asked.push(JSON.stringify([name, ...args]));
        return (registry[name] as (...all: never[]) => unknown)(...args);
      };
    },
  });
  const follow = (): void => {
    registry.watch((change) => {
      if (!isMute) for (const listener of listeners) listener(change);
    });
  };
  follow();
  const table = new RouteTable();
  let synced = 0;
  const onSynced = (): void => {
    synced++;
  };
  const sync = startTableSync({ registry: proxy, table, clock, log, onSynced });
  return {
    clock,
    table,
    sync,
    registry: () => registry,
    setAway: (value: boolean) => {
      isAway = value;
    },
    mute: () => {
      isMute = true;
    },
    forget: () => {
      registry = new MemoryRegistry(clock);
      follow();
    },
    synced: () => synced,
    failures: () => failures,
    asked,
    listeners,
  };
}

const isReady = ({ table }: ReturnType<typeof scene>, model: string): boolean =>
  table.isReady(model, undefined);

test('what is told is read, and node expiry is followed', async (t) => {
  const s = scene();
  await assign(s.registry(), [entry('m', 1)]);
  await s.registry().putNode(node('a'), [copy('m', 1)], NODE_TTL_MS);
  await until('m is ready', () => isReady(s, 'm'));
  s.clock.advance(NODE_TTL_MS);
  await until('the node is gone', () => !isReady(s, 'm'));
  s.sync.stop();
  t.is(s.listeners.size, 0);
});

test('of a change only what it is about is read', async (t) => {
  const s = scene();
  const registry = s.registry();
  await assign(registry, [entry('m', 1)]);
  for (const id of ['a', 'b']) await registry.putNode(node(id), [], 1e9);
  await until('both nodes are known', () => s.table.node('b') !== undefined);
  const change = async (make: () => Promise<unknown>, isSeen: () => boolean) => {
    await s.sync.refresh();
    s.asked.length = 0;
    await make();
    await until('the change is seen', isSeen);
    return [...s.asked];
  };
  const copies = await change(
    () => registry.putCopies('a', 'a-1', [copy('m', 1)]),
    () => isReady(s, 'm'),
  );
  t.deepEqual(copies, ['["copiesOf",["a"]]']);
  const index = shardOf('n');
  const [shard] = plan([entry('n', 1)], 7).slice(index);
  if (shard === undefined) return t.fail();
  const assignment = await change(
    () => registry.putShard(shard),
    () => s.table.isKnown('n'),
  );
  t.deepEqual(assignment, [`["shards",[${index}]]`]);
  const joined = await change(
    () => registry.putNode(node('c'), [copy('n', 1)], 1e9),
    () => isReady(s, 'n'),
  );
  // Its copies are told of too, perhaps while they are read.
  t.deepEqual([...new Set(joined)], ['["nodes"]', '["copiesOf",["c"]]']);
  const nothing = await change(
    async () => {},
    () => true,
  );
  t.deepEqual(nothing, []);
  await s.sync.refresh();
  t.deepEqual(s.asked, ['["shardRevisions"]', '["nodes"]', '["copyStamps"]']);
  s.sync.stop();
});

test('a node that started again holds nothing until it is read what', async (t) => {
  const s = scene();
  const registry = s.registry();
  await assign(registry, [entry('m', 1)]);
  await registry.putNode(node('a'), [copy('m', 1)], 1e9);
  await until('m is ready', () => isReady(s, 'm'));
  await registry.putNode(node('a', { incarnation: 'a-2' }), [], 1e9);
  await until('the new one is known', () => s.table.node('a')?.incarnation === 'a-2');
  t.false(isReady(s, 'm'));
  s.sync.stop();
});

test('changes that were not told are found by looking', async (t) => {
  const s = scene();
  await until('first read', () => s.synced() > 0);
  s.mute();
  await assign(s.registry(), [entry('m', 1)]);
  await s.registry().putNode(node('a'), [copy('m', 1)], RESYNC_MS * 2);
  t.false(isReady(s, 'm'));
  s.clock.advance(RESYNC_MS);
  await until('m is ready', () => isReady(s, 'm'));
  s.sync.stop();
});

test('who may have missed hints looks at everything at once', async (t) => {
  const s = scene();
  await until('first read', () => s.synced() > 0);
  s.mute();
  await assign(s.registry(), [entry('m', 1)]);
  await s.registry().putNode(node('a'), [copy('m', 1)], NODE_TTL_MS);
  t.false(isReady(s, 'm'));
  for (const listener of s.listeners) listener({ kind: 'all' });
  await until('m is ready', () => isReady(s, 'm'));
  s.sync.stop();
});

test('while the registry is away, what it last said stays; then it is read again', async (t) => {
  const s = scene();
  await assign(s.registry(), [entry('m', 1)]);
  await s.registry().putNode(node('a'), [copy('m', 1)], 1e9);
  await until('m is ready', () => isReady(s, 'm'));
  s.setAway(true);
  await s.registry().putCopies('a', 'a-1', []);
  await until('a failed read', () => s.failures() > 0);
  const failures = s.failures();
  await until('a second try that fails too', () => {
    s.clock.advance(SYNC_RETRY_MS);
    return s.failures() > failures;
  });
  t.true(isReady(s, 'm'));
  s.setAway(false);
  await until('the change is seen', () => {
    s.clock.advance(SYNC_RETRY_MS);
    return !isReady(s, 'm');
  });
  s.sync.stop();
});

test('a registry that forgot everything is not believed about nodes at first', async (t) => {
  const s = scene();
  await assign(s.registry(), [entry('m', 1)], 1);
  await s.registry().putNode(node('a'), [copy('m', 1)], 1e9);
  await s.registry().putNode(node('b'), [copy('m', 1)], 1e9);
  await until('m is ready', () => isReady(s, 'm') && s.table.node('b') !== undefined);
  s.forget();
  await s.registry().putNode(node('a'), [copy('m', 1)], 1e9);
  s.clock.advance(RESYNC_MS);
  const before = s.synced();
  await until('it was read', () => s.synced() > before);
  t.truthy(s.table.node('b'), 'not told again yet, kept');
  for (let passed = 0; passed <= LOST_REGISTRY_GRACE_MS; passed += SYNC_RETRY_MS) {
    const last = s.synced();
    s.clock.advance(SYNC_RETRY_MS);
    await until('another read', () => s.synced() > last);
  }
  t.is(s.table.node('b'), undefined, 'had time enough');
  t.true(isReady(s, 'm'), 'the assignment is kept until there is a newer one');
  s.sync.stop();
});

test('a registry that forgets everything twice is not believed then either', async (t) => {
  const s = scene();
  const { clock, registry } = s;
  const readAgain = async (afterMs = SYNC_RETRY_MS): Promise<void> => {
    const last = s.synced();
    clock.advance(afterMs);
    await until('another read', () => s.synced() > last);
  };
  await assign(registry(), [entry('m', 1)], 1);
  await registry().putNode(node('a'), [copy('m', 1)], 1e9);
  await until('m is ready', () => isReady(s, 'm'));
  s.forget();
  const before = s.synced();
  await registry().putNode(node('a'), [copy('m', 1)], 1e9);
  await until('it was read', () => s.synced() > before);
  await readAgain(RESYNC_MS);
  for (let passed = 0; passed <= LOST_REGISTRY_GRACE_MS; passed += SYNC_RETRY_MS) await readAgain();
  t.truthy(s.table.node('a'));
  s.forget();
  await readAgain();
  t.truthy(s.table.node('a'), 'it has had no time to tell of itself again');
  for (let passed = 0; passed <= LOST_REGISTRY_GRACE_MS; passed += SYNC_RETRY_MS) await readAgain();
  t.is(s.table.node('a'), undefined);
  s.sync.stop();
});
