// The roles as processes of their own, around Redis and PostgreSQL: a model is imported over REST
// and called through a router while nodes die, drain and come back, and while the servers around
// them are away.
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { TINY_MLP, tinyMlpOnnx, tinyMlpRequest } from '../../loadtest/tiny-mlp.ts';
import { ClusterStatus } from '../../proto/gen/torus/v1/cluster_service.ts';
import { NODE_METHODS } from '../../router/router.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import { hasPostgres, type PostgresServer, startPostgres } from '../support/postgres-server.ts';
import {
  NO_REDIS,
  type RedisServer,
  redisProgram,
  startRedis,
  untilTrue,
} from '../support/redis-server.ts';
import { skip } from '../support/skip.ts';
import { dataFolder, type RoleProcess, startRole } from '../support/torus-process.ts';

const INFER = '/inference.GRPCInferenceService/ModelInfer';
const CALLERS = 4;
const LONG_MS = 30_000;

interface World {
  readonly redis: RedisServer;
  readonly postgres: PostgresServer;
  readonly router: RoleProcess;
  readonly gateway: RoleProcess;
  /** With the same data folder each time. */
  startNode(id: string): Promise<RoleProcess>;
  startRouter(): Promise<RoleProcess>;
  rest(method: string, path: string, body?: object | Uint8Array): Promise<Record<string, unknown>>;
  status(): Promise<ClusterStatus>;
}

async function world(t: ExecutionContext): Promise<World> {
  const data = await dataFolder(t);
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
  t.teardown(async () => void (await Promise.all([redis.end(), postgres.end()])));
  const start = async (role: string, ...flags: string[]): Promise<RoleProcess> => {
    const server = await startRole(role, flags);
    t.teardown(async () => void (await server.end('SIGKILL')));
    return server;
  };
  const registry = ['--registry', `redis://127.0.0.1:${redis.port}`];
  const catalog = ['--catalog', await postgres.database()];
  const rows = ['--datasets', await postgres.database()];
  const folder = (name: string): string[] => ['--data', join(data, name)];
  const control = await start(
    'control',
    ...registry,
    ...catalog,
    '--blobs',
    `dir:${join(data, 'blobs')}`,
    ...rows,
  );
  const blobs = ['--blobs', `http://${control.at.blob}`];
  const startRouter = () =>
    start('router', ...registry, '--control', control.at.admin ?? '', ...folder('router'));
  const [router] = await Promise.all([
    startRouter(),
    start('ingest', ...registry, ...catalog, ...blobs, ...rows, ...folder('ingest')),
  ]);
  const gateway = await start(
    'gateway',
    '--router',
    router.at.grpc ?? '',
    '--control',
    control.at.admin ?? '',
    ...blobs,
  );
  const rest: World['rest'] = async (method, path, body) => {
    const isRaw = body instanceof Uint8Array;
    const type = isRaw ? 'application/octet-stream' : 'application/json';
    const content = isRaw ? (body as unknown as string) : JSON.stringify(body);
    const init =
      body === undefined
        ? { method }
        : { method, body: content, headers: { 'content-type': type } };
    const response = await fetch(`http://${gateway.at.http}${path}`, init);
    const json = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(json)}`);
    return json;
  };
  return {
    ...{ redis, postgres, router, gateway, rest, startRouter },
    startNode: (id) => start('node', ...registry, ...blobs, '--id', id, ...folder(id)),
    status: async () => ClusterStatus.fromJSON(await rest('GET', '/api/v1/cluster')),
  };
}

/** Waits until exactly these nodes have the model READY. */
async function untilHeldBy({ status }: World, ...ids: readonly string[]): Promise<void> {
  await untilTrue(`the model is READY on ${ids.join(' and ')}`, async () => {
    const { nodes } = await status();
    const holders = nodes.filter(({ copies }) =>
      copies.some(({ state }) => state === 'COPY_STATE_READY'),
    );
    return (
      holders
        .map(({ id }) => id)
        .sort()
        .join() === [...ids].sort().join()
    );
  });
}

async function publish({ rest }: World, minCopies: number): Promise<void> {
  await rest('POST', '/api/v1/models', {
    modelId: TINY_MLP,
    model: { policy: { minCopies } },
  });
  const { sha256, sizeBytes } = await rest('POST', '/api/v1/blobs', tinyMlpOnnx());
  const files = [{ path: 'model.onnx', sha256, sizeBytes: String(sizeBytes) }];
  await rest('POST', `/api/v1/models/${TINY_MLP}/versions`, { files, promote: true });
}

interface Calling {
  answered(): number;
  /** Ends it. @throws what a call failed with */
  end(): Promise<void>;
  /** Some more calls, from now on, have been answered. */
  goesOn(): Promise<void>;
}

/** Calls the model without a pause. */
function callers(t: ExecutionContext, { at }: RoleProcess): Calling {
  const client = connectGrpc({ address: at.grpc ?? '', methods: NODE_METHODS });
  t.teardown(() => client.close());
  let isOver = false;
  let answered = 0;
  const all = Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (!isOver) {
        await invokeUnary(client, INFER, tinyMlpRequest(), { timeoutMs: LONG_MS });
        answered += 1;
      }
    }),
  );
  all.catch(() => undefined);
  return {
    answered: () => answered,
    async end() {
      isOver = true;
      await all;
      client.close();
    },
    async goesOn() {
      const until = answered + 50;
      await Promise.race([untilTrue('calls are answered', () => answered > until), all]);
    },
  };
}

test('roles apart: nodes die, drain and come back, and no call fails', async (t) => {
  if (redisProgram() === undefined) return skip(t, NO_REDIS);
  if (!hasPostgres) return skip(t, 'no PostgreSQL: run scripts/ci-setup');
  const all = await world(t);
  const [a] = await Promise.all([all.startNode('a'), all.startNode('b')]);
  await publish(all, 2);
  await untilHeldBy(all, 'a', 'b');
  const data = Array.from({ length: 16 }, (_, at) => at / 16);
  const inputs = [{ name: 'x', shape: [1, 16], datatype: 'FP32', data }];
  const { outputs } = await all.rest('POST', `/v2/models/${TINY_MLP}/infer`, { inputs });
  t.is((outputs as { data: number[] }[])[0]?.data.length, 4);

  const calling = callers(t, all.router);
  await calling.goesOn();
  await a.end('SIGKILL');
  await calling.goesOn();
  const again = await all.startNode('a');
  await untilHeldBy(all, 'a', 'b');
  t.is(await again.end('SIGTERM'), 0);
  await untilHeldBy(all, 'b');
  await calling.goesOn();

  await all.startNode('c');
  await untilHeldBy(all, 'b', 'c');
  await calling.end();
  t.true(calling.answered() > 200);
});
