import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../../common/status.ts';
import {
  NO_REDIS,
  type RedisServer,
  redisProgram,
  startRedis,
  untilTrue,
} from '../../../test/support/redis-server.ts';
import { skip } from '../../../test/support/skip.ts';
import { blobsContract } from '../blobs.contract.ts';
import { survivesCuts } from '../resumed.contract.ts';
import { openRedisBlobs } from './redis.ts';

const SAFE = ['--appendonly', 'yes', '--appendfsync', 'always'];
const unavailable = { instanceOf: StatusError, code: Code.UNAVAILABLE } as const;
const refused = { instanceOf: StatusError, code: Code.FAILED_PRECONDITION } as const;
const MIB = 1024 * 1024;

const hasRedis = redisProgram() !== undefined;
let started: RedisServer | undefined;
test.before(async () => {
  if (hasRedis) started = await startRedis({ args: SAFE });
});
test.after.always(() => started?.end());

function running(): RedisServer {
  if (started === undefined) throw new Error('the server has not started');
  return started;
}

let stores = 0;
/** Each store has the server's keys of a prefix. */
const urlOf = ({ port }: RedisServer): string => {
  stores += 1;
  return `redis://127.0.0.1:${port}/?prefix=test${stores}`;
};

if (!hasRedis) {
  test('blobs on Redis', (t) => skip(t, NO_REDIS));
} else {
  blobsContract('redis', async () => {
    const url = urlOf(running());
    const prefix = `${new URL(url).searchParams.get('prefix')}:*`;
    const store = await openRedisBlobs(url);
    const end = async (): Promise<void> => {
      await store.close();
      // The large ones would be read again with every start of the server.
      const script = `for _, key in ipairs(redis.call('KEYS', '${prefix}')) do
        redis.call('DEL', key) end`;
      await running().ask('EVAL', script, '0');
    };
    return { store, end };
  });
}

type Body = (t: ExecutionContext, running: RedisServer) => Promise<void>;

/** One after the other: some of them end the server. */
function withServer(title: string, body: Body): void {
  if (hasRedis) test.serial(`redis: ${title}`, (t) => body(t, running()));
}

async function* content(sizeBytes: number) {
  for (let at = 0; at < sizeBytes; at += MIB) yield Buffer.alloc(MIB, at / MIB);
}

withServer('a server killed keeps what it acknowledged, and is used again', async (t, running) => {
  const store = await openRedisBlobs(urlOf(running));
  t.teardown(() => store.close());
  const { sha256 } = await store.write(content(2 * MIB), { maxBytes: 2 * MIB });
  const dying = async function* () {
    yield* content(2 * MIB);
    await running.kill();
    yield Buffer.alloc(1);
  };
  await t.throwsAsync(store.write(dying(), { maxBytes: 3 * MIB }), unavailable);
  await t.throwsAsync(store.stat(sha256), unavailable);
  await t.throwsAsync(openRedisBlobs(urlOf(running)), unavailable);
  const early = await openRedisBlobs(urlOf(running), { mayBeAway: true });
  t.teardown(() => early.close());
  await t.throwsAsync(early.list('', 10), unavailable);
  await running.start();
  await untilTrue('it is used again', async () => (await store.stat(sha256)) !== undefined);
  t.is(
    (await Array.fromAsync(store.read(sha256))).reduce((sum, part) => sum + part.length, 0),
    2 * MIB,
  );
  t.is((await store.list('', 10)).length, 1);
  await untilTrue('so does the other', async () => (await early.list('', 10)).length === 0);
});

withServer('content that its writer left expires', async (t, running) => {
  const prefix = `test${stores + 1}`;
  const store = await openRedisBlobs(urlOf(running));
  t.teardown(() => store.close());
  const started = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const source = async function* () {
    yield* content(MIB);
    started.resolve();
    await goOn.promise;
  };
  const writing = store.write(source(), { maxBytes: 2 * MIB });
  await started.promise;
  const script = `local keys = redis.call('KEYS', '${prefix}:blobs:incoming:*')
    return redis.call('TTL', keys[1])`;
  t.regex(await running.ask('EVAL', script, '0'), /^:(3600|35\d\d)$/);
  goOn.resolve();
  const { sha256 } = await writing;
  t.is(await running.ask('TTL', `${prefix}:blob:${sha256}`), ':-1');
});

withServer('content of which the server lost a part is no blob', async (t, running) => {
  const prefix = `test${stores + 1}`;
  const store = await openRedisBlobs(urlOf(running));
  t.teardown(() => store.close());
  const source = async function* () {
    yield* content(2 * MIB);
    const script = `return redis.call('DEL', redis.call('KEYS', '${prefix}:*')[1])`;
    t.is(await running.ask('EVAL', script, '0'), ':1');
    yield* content(MIB);
  };
  await t.throwsAsync(store.write(source(), { maxBytes: 3 * MIB }), unavailable);
  t.deepEqual(await store.list('', 10), []);
});

withServer('a server that runs full says so and keeps the rest', async (t, running) => {
  const store = await openRedisBlobs(urlOf(running));
  t.teardown(() => store.close());
  const { sha256 } = await store.write(content(MIB), { maxBytes: MIB });
  const used = /used_memory:(\d+)/.exec(await running.ask('INFO', 'memory'))?.[1];
  await running.ask('CONFIG', 'SET', 'maxmemory', String(Number(used) + 4 * MIB));
  const full = store.write(content(16 * MIB), { maxBytes: 16 * MIB });
  await t.throwsAsync(full, { instanceOf: StatusError, code: Code.RESOURCE_EXHAUSTED });
  await running.ask('CONFIG', 'SET', 'maxmemory', '0');
  t.is((await store.list('', 10)).length, 1);
  t.like(await store.stat(sha256), { sizeBytes: MIB });
});

withServer(
  'a server that may lose blobs is refused, also when it comes back so',
  async (t, running) => {
    const store = await openRedisBlobs(urlOf(running));
    t.teardown(() => store.close());
    for (const [setting, bad, good] of [
      ['maxmemory-policy', 'allkeys-lru', 'noeviction'],
      ['appendonly', 'no', 'yes'],
      ['appendfsync', 'everysec', 'always'],
    ] as const) {
      await running.ask('CONFIG', 'SET', setting, bad);
      const error = await t.throwsAsync(openRedisBlobs(urlOf(running)), refused);
      t.true(error?.message.includes(`where ${setting} is '${bad}'`), error?.message);
      await running.ask('CONFIG', 'SET', setting, good);
    }
    await running.kill();
    await running.start(['--appendfsync', 'everysec']);
    const write = () => store.write(content(MIB), { maxBytes: MIB });
    await untilTrue('it is connected', () => store.stat('0'.repeat(64)).then(() => true));
    await t.throwsAsync(write(), refused);
    await running.ask('CONFIG', 'SET', 'appendfsync', 'always');
    await t.notThrowsAsync(write());
  },
);

withServer("the registry's server is refused under any name", async (t, running) => {
  const url = urlOf(running);
  const others = ['127.0.0.1:1', `10.9.9.9:${running.port}`, 'localhost:2'];
  for (const host of ['127.0.0.1', 'localhost']) {
    const registry = `redis+cluster://user:p%40ss@${others.join(',')},${host}:${running.port}`;
    const error = await t.throwsAsync(openRedisBlobs(url, { registry }), {
      instanceOf: StatusError,
    });
    t.is(error?.code, Code.INVALID_ARGUMENT);
    t.regex(error?.message ?? '', /registry's server/);
  }
  for (const [port, isOurs] of [
    [running.port, true],
    [1, false],
  ] as const) {
    const sentinel = await startRedis({ sentinel: `sentinel monitor main 127.0.0.1 ${port} 1\n` });
    t.teardown(() => sentinel.end());
    const registry = `redis+sentinel://${others.join(',')},127.0.0.1:${sentinel.port}/main`;
    const opening = openRedisBlobs(url, { registry });
    if (isOurs) await t.throwsAsync(opening, { message: /registry's server/ });
    else await (await opening).close();
  }
});

withServer('a blob arrives whole over a network that is cut', async (t, running) => {
  const { port } = running;
  const url = urlOf(running);
  const open = (at: number) => openRedisBlobs(url.replace(String(port), String(at)));
  await survivesCuts(t, { port, open });
});

withServer('a password that is refused is not repeated', async (t, running) => {
  const url = urlOf(running).replace('redis://', 'redis://guest:hidden-word@');
  const error = await t.throwsAsync(openRedisBlobs(url), { instanceOf: StatusError });
  t.is(error?.code, Code.UNAUTHENTICATED, error?.message);
  t.notRegex(JSON.stringify([error?.message, error?.stack, error?.cause]), /hidden-word/);
});
