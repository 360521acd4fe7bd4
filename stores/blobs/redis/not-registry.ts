// The registry's server may lose all that it has, and is told it again; blobs that lie there would
// go with it. So the two are kept apart, under whatever names they are given.
import { lookup } from 'node:dns/promises';
import { Redis } from 'ioredis';
import { Code, StatusError } from '../../../common/status.ts';
import type { RedisBlobsAddress } from './address.ts';

const REDIS_PORT = 6_379;
const SENTINEL_PORT = 26_379;
/** A sentinel that does not say by then where the master is, is passed over. */
const SENTINEL_TIMEOUT_MS = 1_000;

const REGISTRY =
  /^rediss?(?<mode>\+sentinel|\+cluster)?:\/\/(?:.*@)?(?<hosts>[^/?#@]*)(?:\/(?<master>[^/?#]*))?/;

interface Place {
  readonly host: string;
  readonly port: number;
}

/**
 * @param registry the registry's address: of one server, Sentinel, or Cluster (of which the servers
 * that are named are known; blobs are kept in no cluster anyway)
 * @throws INVALID_ARGUMENT when a server of it is the blobs'
 */
export async function checkNotRegistry(blobs: RedisBlobsAddress, registry: string): Promise<void> {
  const own = await machineOf(blobs);
  for (const place of await serversOf(registry)) {
    if ((await machineOf(place)) !== own) continue;
    throw new StatusError(
      Code.INVALID_ARGUMENT,
      `the blobs may not be kept at ${blobs.shown}: that is the registry's server, of which all ` +
        'may be lost; give them a Redis server of their own',
    );
  }
}

async function serversOf(registry: string): Promise<readonly Place[]> {
  const { mode = '', hosts = '', master = '' } = REGISTRY.exec(registry)?.groups ?? {};
  const isSentinel = mode === '+sentinel';
  const named = hosts.split(',').flatMap((one): readonly Place[] => {
    const [, host = '', port] = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(one) ?? [];
    const defaultPort = isSentinel ? SENTINEL_PORT : REDIS_PORT;
    return host === '' ? [] : [{ host, port: Number(port ?? defaultPort) }];
  });
  if (!isSentinel) return named;
  const parameters = URL.parse(registry.replace(/^[^?]*/, 'x:'))?.searchParams;
  const secrets = {
    ...optional('username', parameters?.get('sentinel_user')),
    ...optional('password', parameters?.get('sentinel_password')),
    ...(registry.startsWith('rediss') ? { tls: {} } : {}),
  };
  const masters = await Promise.all(named.map((one) => masterBy({ ...one, ...secrets }, master)));
  return masters.flat();
}

function optional(name: string, value: string | null | undefined): Record<string, string> {
  return value == null ? {} : { [name]: value };
}

/** Where a sentinel says that the master is; nowhere when it does not answer. */
async function masterBy(sentinel: Place, master: string): Promise<readonly Place[]> {
  const client = new Redis({
    ...sentinel,
    lazyConnect: true,
    connectTimeout: SENTINEL_TIMEOUT_MS,
    commandTimeout: SENTINEL_TIMEOUT_MS,
    retryStrategy: null,
    maxRetriesPerRequest: 0,
    replyMapping: 'legacy',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const reply = await client.call('SENTINEL', 'get-master-addr-by-name', master);
    if (!Array.isArray(reply)) return [];
    return [{ host: String(reply[0]), port: Number(reply[1]) }];
  } catch {
    return [];
  } finally {
    client.disconnect();
  }
}

async function machineOf({ host, port }: Place): Promise<string> {
  try {
    return `${(await lookup(host)).address} ${port}`;
  } catch {
    return `${host} ${port}`;
  }
}
