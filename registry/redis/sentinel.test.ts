// The registry on the master that Sentinel names: the contract, and fail-overs, planned ones and
// after a master's death, under writes all the time.
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { type SentinelGroup, startSentinelGroup } from '../../test/support/redis-groups.ts';
import { NO_REDIS, pause, redisProgram, untilTrue } from '../../test/support/redis-server.ts';
import { skip } from '../../test/support/skip.ts';
import { plan } from '../../test/support/small-cluster.ts';
import type { Registry } from '../registry.ts';
import { CALL_TIMEOUT_MS } from './connection.ts';
import { openOnRedis, redisContract } from './redis.contract.ts';

/** Writes go on within that, as operators are told. */
const GAP_MS = 10_000;
const WRITE_PAUSE_MS = 10;

interface Writer {
  /** The last revision that was taken. */
  taken(): number;
  /** The longest time between two that were taken. */
  longestGapMs(): number;
  readonly errors: readonly unknown[];
  stop(): Promise<void>;
}

/** Writes ever newer revisions of shard 0, and goes on after each failure. */
function write(registry: Registry): Writer {
  const errors: unknown[] = [];
  let [revision, taken, lastMs, gapMs, isOver] = [0, 0, performance.now(), 0, false];
  const writing = (async () => {
    while (!isOver) {
      revision += 1;
      const [shard] = plan([], revision);
      if (shard === undefined) break;
      try {
        if (await registry.putShard(shard)) {
          taken = revision;
          gapMs = Math.max(gapMs, performance.now() - lastMs);
          lastMs = performance.now();
        }
      } catch (error) {
        errors.push(error);
      }
      await pause(WRITE_PAUSE_MS);
    }
  })();
  return {
    taken: () => taken,
    longestGapMs: () => gapMs,
    errors,
    async stop() {
      isOver = true;
      await writing;
    },
  };
}

async function underWrites(
  t: ExecutionContext,
  fault: (group: SentinelGroup) => Promise<void>,
): Promise<void> {
  const group = await startSentinelGroup();
  t.teardown(() => group.end());
  const [registry, other] = [
    openOnRedis(group.address, CALL_TIMEOUT_MS),
    openOnRedis(group.address),
  ];
  t.teardown(() => Promise.all([registry.close(), other.close()]));
  let resyncs = 0;
  other.watch(({ kind }) => {
    if (kind === 'all') resyncs += 1;
  });
  const writer = write(registry);
  await untilTrue('writes', () => writer.taken() > 20 && resyncs > 0);
  const before = await group.master();
  const heardBefore = resyncs;
  await fault(group);
  const after = await group.master();
  t.not(after.port, before.port);
  const isInNewMaster = async (): Promise<boolean> => {
    const held = await after.ask('HGET', 'torus:{shards:0}:revisions', '0');
    return held.endsWith(`1 ${writer.taken()}`);
  };
  const atFaultsEnd = writer.taken();
  await untilTrue('writes go on', () => writer.taken() > atFaultsEnd + 20);
  await writer.stop();
  t.true(await isInNewMaster(), 'what was taken last is where the sentinels say');
  t.true(writer.longestGapMs() < GAP_MS, `${writer.longestGapMs()} ms`);
  for (const error of writer.errors) {
    t.true(error instanceof StatusError && error.code === Code.UNAVAILABLE, String(error));
  }
  const [held] = await other.shards([0]);
  t.is(held?.revision, writer.taken());
  await untilTrue('its watchers are told that they missed hints', () => resyncs > heardBefore);
}

const tests: Record<string, (group: SentinelGroup) => Promise<void>> = {
  'a planned fail-over': (group) => group.failOver(),
  "a master's death": async (group) => {
    const before = await group.master();
    await before.kill();
    await untilTrue('another master', async () => (await group.master()) !== before);
  },
};

if (redisProgram() === undefined) {
  test('the registry behind Sentinel', (t) => skip(t, NO_REDIS));
} else {
  const group = startSentinelGroup();
  test.after.always(async () => (await group).end());
  redisContract('sentinel', async () => (await group).address);
  for (const [title, fault] of Object.entries(tests)) {
    test(title, (t) => underWrites(t, fault));
  }
}
