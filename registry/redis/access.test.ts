// Who may use the registry: users and passwords of Redis, TLS, and secrets that stay secret.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { Code } from '../../common/status.ts';
import { makeCertificate } from '../../test/support/certificate.ts';
import {
  NO_REDIS,
  pause,
  type RedisServer,
  redisProgram,
  startRedis,
  untilTrue,
} from '../../test/support/redis-server.ts';
import { skip } from '../../test/support/skip.ts';
import { node as nodeRecord, plan } from '../../test/support/small-cluster.ts';
import type { Registry } from '../registry.ts';
import { CALL_TIMEOUT_MS } from './connection.ts';
import { openOnRedis, RIGHTS } from './redis.contract.ts';

const LONG_MS = 600_000;
const SECRET = 'p@ss word/:?#%';

/** Those that are to fail ask with the product's own limit. */
function open(t: ExecutionContext, address: string, callTimeoutMs?: number): Registry {
  const registry = openOnRedis(address, callTimeoutMs);
  t.teardown(() => registry.close());
  return registry;
}

async function start(t: ExecutionContext): Promise<RedisServer> {
  const server = await startRedis();
  t.teardown(() => server.end());
  return server;
}

async function useAll(t: ExecutionContext, registry: Registry): Promise<void> {
  let hints = 0;
  registry.watch(() => {
    hints += 1;
  });
  await untilTrue('it hears', () => hints > 0);
  await registry.putNode(nodeRecord('n1'), [], LONG_MS);
  t.true(await registry.heartbeat('n1', 'n1-1', LONG_MS));
  const lease = { name: 'leader', owner: 'a', epoch: 1 };
  t.true(await registry.acquireLease(lease, LONG_MS));
  t.true(await registry.renewLease(lease, LONG_MS));
  await registry.releaseLease(lease);
  const [shard] = plan([]);
  if (shard !== undefined) t.true(await registry.putShard(shard));
  t.is((await registry.shards([0])).length, 1);
  t.is((await registry.copies()).size, 1);
  hints = 0;
  await registry.announce('jobs');
  await untilTrue('it hears itself', () => hints > 0);
}

async function users(t: ExecutionContext): Promise<void> {
  const server = await start(t);
  const make = (name: string, ...rights: readonly string[]) =>
    server.ask('ACL', 'SETUSER', name, 'on', `>${SECRET}`, ...rights);
  t.is(await make('torus', ...RIGHTS), '+OK');
  t.is(await make('guest', '~other:*', '&torus:*', '+@all'), '+OK');
  t.is(await server.ask('CONFIG', 'SET', 'requirepass', SECRET), '+OK');
  const at = (user: string, password: string): string =>
    `redis://${user}:${encodeURIComponent(password)}@127.0.0.1:${server.port}`;
  await useAll(t, open(t, at('torus', SECRET)));
  await open(t, at('', SECRET)).putNode(nodeRecord('n2'), [], LONG_MS);
  const refusals = [
    { address: at('torus', `${SECRET}x`), code: Code.UNAUTHENTICATED },
    { address: at('nobody', SECRET), code: Code.UNAUTHENTICATED },
    { address: `redis://127.0.0.1:${server.port}`, code: Code.UNAUTHENTICATED },
    { address: at('guest', SECRET), code: Code.PERMISSION_DENIED },
  ];
  const refused = refusals.map(async ({ address, code }) => {
    const error = await t.throwsAsync(
      open(t, address, CALL_TIMEOUT_MS).nodes(),
      { code },
      String(code),
    );
    t.false(error?.message.includes(SECRET));
    t.true(error?.message.includes(`redis://127.0.0.1:${server.port}`));
  });
  await Promise.all(refused);
}

async function deaf(t: ExecutionContext): Promise<void> {
  const server = await start(t);
  const rights = [...RIGHTS, 'resetchannels', '&other:*'];
  t.is(await server.ask('ACL', 'SETUSER', 'deaf', 'on', '>pw', ...rights), '+OK');
  const connections = async (): Promise<number> => {
    const stats = await server.ask('INFO', 'stats');
    return Number(/total_connections_received:(\d+)/.exec(stats)?.[1]);
  };
  const before = await connections();
  const registry = open(t, `redis://deaf:pw@127.0.0.1:${server.port}`);
  registry.watch(() => t.fail('it may not hear'));
  await pause(1_000);
  t.true((await connections()) - before < 10);
  t.deepEqual(await registry.nodes(), []);
}

async function overTls(t: ExecutionContext): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-tls-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  if (!makeCertificate(folder)) return skip(t, 'no openssl to make a certificate');
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const server = await start(t);
  // The server of the tests may be built without TLS: this ends it in front of one.
  const front = createServer({ key: await readFile(key), cert: await readFile(cert) }, (socket) => {
    const back = connect({ port: server.port, host: '127.0.0.1' });
    for (const [one, other] of [[socket, back] as const, [back, socket] as const]) {
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => {
    front.listen(0, '127.0.0.1', () => resolve());
  });
  t.teardown(() => new Promise<void>((resolve) => front.close(() => resolve())));
  const bound = front.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const address = `rediss://localhost:${port}`;
  const trusting = open(t, `${address}?ca=${encodeURIComponent(cert)}`);
  await useAll(t, trusting);
  const distrusting = open(t, address, CALL_TIMEOUT_MS);
  await t.throwsAsync(distrusting.nodes(), { code: Code.UNAVAILABLE, message: /self-signed/ });
  const plain = open(t, `redis://127.0.0.1:${port}`, CALL_TIMEOUT_MS);
  await t.throwsAsync(plain.nodes(), { code: Code.UNAVAILABLE });
  for (const one of [trusting, distrusting, plain]) await one.close();
}

for (const [title, body] of Object.entries({
  'a user with the rights that are told, and those who are refused': users,
  'a watcher who may not hear does not ask without a pause': deaf,
  'over TLS, with a certificate of a private authority': overTls,
})) {
  test(title, (t) => (redisProgram() === undefined ? skip(t, NO_REDIS) : body(t)));
}
