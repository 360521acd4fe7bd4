// A whole cluster of real processes on loopback: routers, control, nodes and ingest around a Redis
// and a PostgreSQL, with models whose answers can be checked, ready for a fault.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClusterStatus, CopyState } from '../../proto/gen/torus/v1/cluster_service.ts';
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts';
import { type SentinelGroup, startSentinelGroup } from '../support/redis-groups.ts';
import { type RedisServer, startRedis, untilTrue } from '../support/redis-server.ts';
import { startS3 } from '../support/s3-server.ts';
import { Admin } from './admin.ts';
import { type CheckedModel, checkedRequest, wrongIn } from './checked-model.ts';
import { type ChaosClient, grpcJsClient, torusClient } from './clients.ts';
import { listeningPort, type Member, type Role, startMember } from './member.ts';
import { openSharedBlobs, type SharedBlobs } from './shared-blobs.ts';

/** A busy machine starts a dozen processes and imports the models within. */
const WHOLE_TIMEOUT_MS = 90_000;
const PROBE_MS = 5_000;

export interface ClusterOptions {
  readonly nodes: number;
  readonly routers: number;
  readonly controls: number;
  readonly registry: 'single' | 'sentinel';
  readonly models: readonly CheckedModel[];
  /** Flags more for a process; what comes last counts: '--registry' through a proxy, ... */
  readonly flags?: (
    role: Role,
    id: string,
    surroundings: Surroundings,
  ) => readonly string[] | Promise<readonly string[]>;
  /** Default: a folder that all processes share. */
  readonly blobs?: 'folder' | 's3';
  /** Variables of a process' environment, more than ours. */
  readonly env?: (role: Role, id: string) => Readonly<Record<string, string>>;
  /** cli/main.ts of another checkout that all processes are started from. */
  readonly main?: string;
}

/** What the processes work with. */
export interface Surroundings extends SharedBlobs {
  readonly redis: RedisServer;
  readonly sentinel: SentinelGroup | undefined;
  readonly postgres: PostgresServer;
  /** As --catalog has it. */
  readonly catalog: string;
  /** Of all data. */
  readonly folder: string;
}

/** Four with two copies and four with one. */
export const MODELS: readonly CheckedModel[] = [2, 2, 2, 2, 1, 1, 1, 1].map((copies, at) => ({
  name: `${copies === 1 ? 'single' : 'double'}-${at + 1}`,
  mark: 1_000 * (at + 1),
  copies,
}));

export const USUAL_CLUSTER: ClusterOptions = {
  ...{ nodes: 4, routers: 2, controls: 1, registry: 'single', models: MODELS },
};

export class ChaosCluster {
  readonly options: ClusterOptions;
  readonly surroundings: Surroundings;
  readonly nodes: readonly Member[];
  readonly routers: readonly Member[];
  readonly controls: readonly Member[];
  readonly ingest: Member;
  readonly admin: Admin;
  readonly #clients: ChaosClient[] = [];

  private constructor(
    options: ClusterOptions,
    surroundings: Surroundings,
    members: readonly Member[],
    admin: Admin,
  ) {
    this.options = options;
    this.surroundings = surroundings;
    const of = (role: Role) => members.filter((member) => member.role === role);
    [this.nodes, this.routers, this.controls] = [of('node'), of('router'), of('control')];
    const [ingest] = of('ingest');
    if (ingest === undefined) throw new Error('a cluster without ingest');
    this.ingest = ingest;
    this.admin = admin;
  }

  static async start(options: ClusterOptions, random = Math.random): Promise<ChaosCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'torus-chaos-'));
    const ends: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
    try {
      const surroundings = await startSurroundings(options, folder);
      ends.push(() => endSurroundings(surroundings));
      const members = await startMembers(options, surroundings, random, ends);
      const controls = members.filter(({ role }) => role === 'control');
      const addresses = controls.map(({ process }) => process.at.admin ?? '');
      const admin = new Admin(addresses, await openSharedBlobs(surroundings));
      ends.push(() => admin.close());
      const cluster = new ChaosCluster(options, surroundings, members, admin);
      await Promise.all(options.models.map((model) => admin.publish(model)));
      await cluster.whole();
      return cluster;
    } catch (thrown) {
      for (const end of ends.reverse()) await end().catch(() => undefined);
      throw thrown;
    }
  }

  get members(): readonly Member[] {
    return [...this.nodes, ...this.routers, ...this.controls, this.ingest];
  }

  get addresses(): readonly string[] {
    return this.routers.map(({ process }) => process.at.grpc ?? '');
  }

  /** One of each kind, closed with the cluster. */
  clients(): readonly ChaosClient[] {
    const made = [torusClient(this.addresses), grpcJsClient(this.addresses)];
    this.#clients.push(...made);
    return made;
  }

  status(): Promise<ClusterStatus> {
    return this.admin.status();
  }

  /** The nodes that have the model READY. */
  async holders(model: string): Promise<readonly Member[]> {
    const { nodes } = await this.status();
    const ids = nodes
      .filter(({ copies }) =>
        copies.some(({ modelId, state }) => modelId === model && state === CopyState.READY),
      )
      .map(({ id }) => id);
    return this.nodes.filter(({ id }) => ids.includes(id));
  }

  /** A node that has a model which no other has. */
  async onlyHolder(): Promise<Member> {
    const single = this.options.models.find(({ copies }) => copies === 1);
    const [holder] = await this.holders(single?.name ?? '');
    if (holder === undefined) throw new Error('no node holds a model of one copy');
    return holder;
  }

  /** Starts what has ended, and waits until every model has all its copies and answers. */
  async whole(timeoutMs = WHOLE_TIMEOUT_MS): Promise<void> {
    for (const member of this.members) {
      if (member.isUp) member.resume();
      else await member.start();
    }
    await this.untilReady(timeoutMs);
    const clients = this.routers.map(({ process }) => torusClient([process.at.grpc ?? '']));
    try {
      for (const client of clients) {
        for (const model of this.options.models) {
          await untilTrue(`${model.name} answers`, () => isAnswered(client, model), timeoutMs);
        }
      }
    } finally {
      for (const client of clients) client.close();
    }
  }

  /** Waits until the leader counts every copy of every model as READY, on the nodes that are up. */
  async untilReady(timeoutMs = WHOLE_TIMEOUT_MS): Promise<void> {
    const { models } = this.options;
    const up = this.nodes.filter(({ isUp }) => isUp);
    await untilTrue(
      'all copies are READY',
      async () => {
        const status = await this.status();
        const ready = new Map(status.models.map((one) => [one.modelId, one]));
        return (
          status.nodes.length === up.length &&
          models.every(({ name, copies }) => {
            const { wantedCopies, readyCopies } = ready.get(name) ?? {};
            return wantedCopies === copies && readyCopies === copies;
          })
        );
      },
      timeoutMs,
    );
  }

  async end(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.admin.close();
    await Promise.all(this.members.map((member) => member.kill()));
    await endSurroundings(this.surroundings);
    await rm(this.surroundings.folder, { recursive: true, force: true });
  }
}

async function startSurroundings(
  { registry, blobs = 'folder' }: ClusterOptions,
  folder: string,
): Promise<Surroundings> {
  const [redis, sentinel, postgres, s3] = await Promise.all([
    startRedis(),
    registry === 'sentinel' ? startSentinelGroup() : undefined,
    startPostgres(),
    blobs === 's3' ? startS3() : undefined,
  ]);
  const address =
    s3 === undefined
      ? `dir:${join(folder, 'blobs')}`
      : `s3://${await s3.bucket()}?endpoint=${s3.endpoint}`;
  const catalog = await postgres.database();
  return { redis, sentinel, postgres, s3, blobs: address, catalog, folder };
}

async function endSurroundings({ redis, sentinel, postgres, s3 }: Surroundings): Promise<void> {
  await Promise.all([redis.end(), sentinel?.end(), postgres.end(), s3?.end()]);
}

function isAnswered(client: ChaosClient, model: CheckedModel): Promise<boolean> {
  return new Promise((resolve) => {
    client.infer(checkedRequest(model, 1), PROBE_MS, ({ answer }) => {
      resolve(answer !== undefined && wrongIn(model, 1, answer) === undefined);
    });
  });
}

async function startMembers(
  options: ClusterOptions,
  surroundings: Surroundings,
  random: () => number,
  ends: (() => Promise<unknown>)[],
): Promise<readonly Member[]> {
  const { redis, sentinel, postgres, s3, catalog, folder } = surroundings;
  const address = sentinel?.address ?? `redis://127.0.0.1:${redis.port}`;
  const registry = ['--registry', address, '--log-level', 'info'];
  const blobs = ['--blobs', surroundings.blobs];
  const stores = ['--catalog', catalog, '--datasets', await postgres.database(), ...blobs];
  const keys = s3 === undefined ? {} : s3.environment;
  const start = async (role: Role, id: string, ...flags: readonly string[]): Promise<Member> => {
    const port = async (name: string) => [`--${name}-port`, String(await listeningPort(random))];
    const ports = await Promise.all(['metrics', ...PORTS[role]].map(port));
    const more = (await options.flags?.(role, id, surroundings)) ?? [];
    const all = [...registry, ...flags, ...ports.flat(), ...more];
    const env = { ...keys, ...options.env?.(role, id) };
    const member = await startMember({ role, id, flags: all, main: options.main, env });
    ends.push(() => member.kill());
    return member;
  };
  const data = (id: string): readonly string[] => ['--data', join(folder, id)];
  const named = (role: Role, count: number): string[] =>
    Array.from({ length: count }, (_, at) => `${role}-${at + 1}`);
  return await Promise.all([
    ...named('control', options.controls).map((id) => start('control', id, ...stores, '--id', id)),
    ...named('router', options.routers).map((id) => start('router', id, ...data(id))),
    ...named('node', options.nodes).map((id) =>
      start('node', id, ...blobs, ...data(id), '--id', id),
    ),
    start('ingest', 'ingest', ...stores, ...data('ingest')),
  ]);
}

const PORTS: Readonly<Record<Role, readonly string[]>> = {
  node: ['node'],
  router: ['grpc'],
  control: ['admin', 'blob'],
  ingest: [],
};
