// The roles as processes of their own, around a real Redis and PostgreSQL, with one router, and
// callers of its one model that never pause.
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { TINY_MLP, tinyMlpOnnx, tinyMlpRequest } from '../../loadtest/tiny-mlp.ts';
import { ClusterStatus } from '../../proto/gen/torus/v1/cluster_service.ts';
import { NODE_METHODS } from '../../router/router.ts';
import { bodyText, type HttpPeer, httpCall } from '../../stores/blobs/http-call.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import { type PostgresServer, startPostgres } from './postgres-server.ts';
import { type RedisServer, startRedis, untilTrue } from './redis-server.ts';
import { dataFolder, type RoleProcess, startRole } from './torus-process.ts';

const INFER = '/inference.GRPCInferenceService/ModelInfer';
const CALLERS = 4;
const LONG_MS = 30_000;

export interface RoleCluster {
  readonly redis: RedisServer;
  readonly postgres: PostgresServer;
  readonly router: RoleProcess;
  readonly gateway: RoleProcess;
  readonly control: RoleProcess;
  /** With the same data folder each time. */
  startNode(id: string, port?: string): Promise<RoleProcess>;
  startRouter(): Promise<RoleProcess>;
  startTrainer(): Promise<RoleProcess>;
  rest(method: string, path: string, body?: object | Uint8Array): Promise<Record<string, unknown>>;
  status(): Promise<ClusterStatus>;
}

/** How they speak with each other, where it is not plain text. */
export interface Security {
  /** Flags of a role beside those that it has anyway. */
  readonly flags: (role: string) => readonly string[];
  /** Of whoever calls the gateway or the router. */
  readonly peer: HttpPeer;
}
const PLAIN: Security = { flags: () => [], peer: {} };

export async function roleCluster(
  t: ExecutionContext,
  security: Security = PLAIN,
): Promise<RoleCluster> {
  const data = await dataFolder(t);
  const scheme = security.peer.tls === undefined ? 'http' : 'https';
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
  t.teardown(async () => void (await Promise.all([redis.end(), postgres.end()])));
  const start = async (role: string, ...flags: string[]): Promise<RoleProcess> => {
    const server = await startRole(role, [...flags, ...security.flags(role)]);
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
  const blobs = ['--blobs', `${scheme}://${control.at.blob}`];
  const startRouter = () =>
    start('router', ...registry, '--control', control.at.admin ?? '', ...folder('router'));
  const [router] = await Promise.all([
    startRouter(),
    start('ingest', ...registry, ...catalog, ...blobs, ...rows, ...folder('ingest')),
  ]);
  const gateway = await start(
    'gateway',
    '--router',
    // The first one is away: nobody listens there.
    `127.0.0.1:9,${router.at.grpc}`,
    '--control',
    control.at.admin ?? '',
    ...blobs,
  );
  const rest: RoleCluster['rest'] = async (method, path, body) => {
    const isRaw = body instanceof Uint8Array;
    const type = isRaw ? 'application/octet-stream' : 'application/json';
    const content = isRaw ? one(body) : JSON.stringify(body);
    const sent = body === undefined ? {} : { body: content, headers: { 'content-type': type } };
    const call = { method, signal: AbortSignal.timeout(LONG_MS), ...sent };
    const url = `${scheme}://${gateway.at.http}${path}`;
    const response = await httpCall(url, call, security.peer);
    const text = await bodyText(response, call.signal);
    if ((response.statusCode ?? 0) >= 300)
      throw new Error(`${path}: ${response.statusCode} ${text}`);
    const json = JSON.parse(text) as Record<string, unknown>;
    return json;
  };
  return {
    ...{ redis, postgres, router, gateway, control, rest, startRouter },
    startTrainer: () =>
      start('trainer', ...registry, ...catalog, ...blobs, ...rows, ...folder('trainer')),
    startNode: (id, port = '0') =>
      start('node', ...registry, ...blobs, '--id', id, '--node-port', port, ...folder(id)),
    status: async () => ClusterStatus.fromJSON(await rest('GET', '/api/v1/cluster')),
  };
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Waits until exactly these nodes have the model READY. */
export async function untilHeldBy(
  { status }: RoleCluster,
  ...ids: readonly string[]
): Promise<void> {
  await untilTrue(`the model is READY on ${ids.join(' and ')}`, async () => {
    const { nodes } = await status();
    const holders = nodes.filter(({ copies }) =>
      copies.some((copy) => copy.modelId === TINY_MLP && copy.state === 'COPY_STATE_READY'),
    );
    return (
      holders
        .map(({ id }) => id)
        .sort()
        .join() === [...ids].sort().join()
    );
  });
}

export async function publish({ rest }: RoleCluster, minCopies: number): Promise<void> {
  await rest('POST', '/api/v1/models', {
    modelId: TINY_MLP,
    model: { policy: { minCopies } },
  });
  const { sha256, sizeBytes } = await rest('POST', '/api/v1/blobs', tinyMlpOnnx());
  const files = [{ path: 'model.onnx', sha256, sizeBytes: String(sizeBytes) }];
  await rest('POST', `/api/v1/models/${TINY_MLP}/versions`, { files, promote: true });
}

export interface Calling {
  answered(): number;
  /** Ends it. @throws what a call failed with */
  end(): Promise<void>;
  /** Some more calls, from now on, have been answered. */
  goesOn(): Promise<void>;
}

/** Calls the model without a pause. */
export function callers(
  t: ExecutionContext,
  { at }: RoleProcess,
  { peer }: Security = PLAIN,
): Calling {
  const client = connectGrpc({ address: at.grpc ?? '', methods: NODE_METHODS, tls: peer.tls });
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
