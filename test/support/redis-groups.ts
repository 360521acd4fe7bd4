// Groups of real Redis servers for tests: a master with a replica and three sentinels, and a
// cluster of three masters. Ended with the test.
import { freePort, type RedisServer, startRedis, untilTrue } from './redis-server.ts';

const HOST = '127.0.0.1';
/** Long enough that a busy machine is not taken for a dead master. */
const DOWN_AFTER_MS = 1_000;
const GROUP = 'main';
const SLOTS = 16_384;

export interface SentinelGroup {
  /** redis+sentinel:// ... */
  readonly address: string;
  readonly servers: readonly RedisServer[];
  /** The one that the sentinels call master. */
  master(): Promise<RedisServer>;
  /** A planned fail-over, until the sentinels name another master. */
  failOver(): Promise<void>;
  end(): Promise<void>;
}

async function endAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.end()));
}

export async function startSentinelGroup(): Promise<SentinelGroup> {
  const started: RedisServer[] = [];
  const keep = (server: RedisServer): RedisServer => {
    started.push(server);
    return server;
  };
  try {
    const first = keep(await startRedis());
    const second = keep(
      await startRedis({
        args: ['--replicaof', HOST, String(first.port), '--repl-diskless-sync-delay', '0'],
      }),
    );
    const sentinel = [
      `sentinel monitor ${GROUP} ${HOST} ${first.port} 2`,
      `sentinel down-after-milliseconds ${GROUP} ${DOWN_AFTER_MS}`,
      `sentinel failover-timeout ${GROUP} 3000`,
      '',
    ].join('\n');
    const sentinels = [0, 1, 2].map(async () => keep(await startRedis({ sentinel })));
    const group = sentinelGroup([first, second], await Promise.all(sentinels), started);
    await untilTrue('the sentinels know each other and the replica', async () => {
      const answers = await Promise.all(
        (await Promise.all(sentinels)).map((one) => one.ask('SENTINEL', 'CKQUORUM', GROUP)),
      );
      const link = await second.ask('INFO', 'replication');
      return (
        answers.every((answer) => answer.startsWith('+OK 3 ')) &&
        link.includes('master_link_status:up')
      );
    });
    return group;
  } catch (error) {
    await endAll(started);
    throw error;
  }
}

function sentinelGroup(
  servers: readonly RedisServer[],
  sentinels: readonly RedisServer[],
  all: readonly RedisServer[],
): SentinelGroup {
  const hosts = sentinels.map(({ port }) => `${HOST}:${port}`).join();
  const [asked] = sentinels;
  const master = async (): Promise<RedisServer> => {
    const info = (await asked?.ask('INFO', 'sentinel')) ?? '';
    const port = /address=127\.0\.0\.1:(\d+)/.exec(info)?.[1];
    const found = servers.find((server) => String(server.port) === port);
    if (found === undefined) throw new Error(`the sentinels name no master: ${info}`);
    return found;
  };
  return {
    address: `redis+sentinel://${hosts}/${GROUP}`,
    servers,
    master,
    async failOver() {
      const before = await master();
      await untilTrue('the sentinel takes the order', async () => {
        const answer = await asked?.ask('SENTINEL', 'FAILOVER', GROUP);
        return answer === '+OK';
      });
      await untilTrue('another master', async () => (await master()) !== before);
    },
    end: () => endAll(all),
  };
}

export interface ClusterGroup {
  /** redis+cluster:// ... */
  readonly address: string;
  readonly servers: readonly RedisServer[];
  /** Which server holds a key, and which slot it has. */
  ownerOf(key: string): Promise<{ readonly slot: number; readonly owner: RedisServer }>;
  /** Waits until each server sees a whole cluster. */
  whole(): Promise<void>;
  end(): Promise<void>;
}

export async function startClusterGroup(): Promise<ClusterGroup> {
  const servers: RedisServer[] = [];
  const buses: number[] = [];
  try {
    for (let at = 0; at < 3; at += 1) {
      const bus = await freePort();
      const flags = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'];
      buses.push(bus);
      servers.push(await startRedis({ args: [...flags, '--cluster-port', String(bus)] }));
    }
    for (const [at, server] of servers.entries()) {
      const [from, to] = [at, at + 1].map((part) => Math.floor((part * SLOTS) / servers.length));
      await expectOk(server, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String((to ?? 0) - 1));
      await expectOk(server, 'CLUSTER', 'SET-CONFIG-EPOCH', String(at + 1));
    }
    const [first, ...others] = servers;
    for (const [at, { port }] of others.entries()) {
      if (first === undefined) break;
      const bus = String(buses[at + 1] ?? 0);
      await expectOk(first, 'CLUSTER', 'MEET', HOST, String(port), bus);
    }
    const group = clusterGroup(servers);
    await group.whole();
    return group;
  } catch (error) {
    await endAll(servers);
    throw error;
  }
}

async function expectOk(server: RedisServer, ...command: readonly string[]): Promise<void> {
  const answer = await server.ask(...command);
  if (answer !== '+OK') throw new Error(`${command.join(' ')}: ${answer}`);
}

function clusterGroup(servers: readonly RedisServer[]): ClusterGroup {
  return {
    address: `redis+cluster://${servers.map(({ port }) => `${HOST}:${port}`).join()}`,
    servers,
    async ownerOf(key) {
      const slot = Number((await servers[0]?.ask('CLUSTER', 'KEYSLOT', key))?.slice(1));
      for (const server of servers) {
        const answer = await server.ask('CLUSTER', 'COUNTKEYSINSLOT', String(slot));
        const isThere = (await server.ask('EXISTS', key)).startsWith(':');
        if (isThere && answer.startsWith(':')) return { slot, owner: server };
      }
      throw new Error(`no server holds slot ${slot}`);
    },
    async whole() {
      await untilTrue('the cluster is whole', async () => {
        const infos = await Promise.all(servers.map((server) => server.ask('CLUSTER', 'INFO')));
        return infos.every(
          (info) =>
            info.includes('cluster_state:ok') &&
            info.includes(`cluster_known_nodes:${servers.length}`) &&
            info.includes(`cluster_size:${servers.length}`),
        );
      });
    },
    end: () => endAll(servers),
  };
}
