// How ioredis is set up for each kind of address: what makes every call end in bounded time, and
// every connection come back by itself.
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { ClusterNode, ClusterOptions, RedisOptions } from 'ioredis';
import { invalidArgument } from '../../common/status.ts';
import type { RedisAddress, TlsFiles } from './address.ts';

const CONNECT_TIMEOUT_MS = 1_000;
/** What a sentinel or a cluster's node is asked about the others. */
const LOOKUP_TIMEOUT_MS = 1_000;
/**
 * A connection that owes an answer and is silent for so long is dropped. Longer than a call's own
 * time: a busy event loop here must not look like a dead peer.
 */
export const SILENCE_MS = 5_000;
/** A peer that does not answer our goodbye is left without its own. */
const GOODBYE_MS = 250;
/** Between attempts to connect, at most: writes go on soon after a fail-over. */
export const MAX_RETRY_MS = 200;
/** A sentinel that is away is not missed while another one is there. */
const MAX_SENTINEL_RETRY_MS = 1_000;
/** Each lost connection, slot that moved or master that is gone costs a command one of them. */
const MAX_REDIRECTIONS = 8;
const REDIRECTION_PAUSE_MS = 50;

export function retryDelayMs(attempt: number): number {
  return Math.min(MAX_RETRY_MS, 20 * attempt);
}

/** Replies as RESP2 would give them: our scripts answer with words and lists only. */
type Options = RedisOptions & { readonly replyMapping: 'legacy' };

/** Of each connection to a server that holds data. */
function common(address: RedisAddress): Options {
  const { username, password } = address.credentials;
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(address.tls === undefined ? {} : { tls: tlsOptions(address.tls) }),
    connectionName: 'torus-registry',
    connectTimeout: CONNECT_TIMEOUT_MS,
    // While a server loads its data it is asked this often whether it is done.
    maxLoadingRetryTime: MAX_RETRY_MS,
    socketTimeout: SILENCE_MS,
    disconnectTimeout: GOODBYE_MS,
    // What was under way when a connection broke has failed: nothing is written late.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // A master that became a replica: look for the new one.
    reconnectOnError: (error) => /^(READONLY|MASTERDOWN)\b/.test(error.message),
    protocol: 3,
    replyMapping: 'legacy',
  };
}

/** @throws INVALID_ARGUMENT for a file that can't be read */
function tlsOptions({ ca, cert, key }: TlsFiles): ConnectionOptions {
  const read = (name: string, path: string | undefined) => {
    if (path === undefined) return {};
    try {
      return { [name]: readFileSync(path) };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw invalidArgument(`the registry's ${name} file can not be read: ${why}`);
    }
  };
  return { ...read('ca', ca), ...read('cert', cert), ...read('key', key) };
}

/** For one server, or the master that Sentinel names. */
export function redisOptions(address: Exclude<RedisAddress, { kind: 'cluster' }>): Options {
  const base: Options = {
    ...common(address),
    db: address.db,
    retryStrategy: retryDelayMs,
    enableOfflineQueue: false,
    lazyConnect: true,
  };
  if (address.kind === 'single') {
    const [{ host, port }] = address.endpoints;
    return { ...base, host, port };
  }
  const { username, password } = address.sentinel;
  return {
    ...base,
    name: address.master,
    role: 'master',
    sentinels: address.endpoints.map(({ host, port }) => ({ host, port })),
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    ...(base.tls === undefined ? {} : { sentinelTLS: base.tls, enableTLSForSentinelMode: true }),
    sentinelRetryStrategy: retryDelayMs,
    sentinelCommandTimeout: LOOKUP_TIMEOUT_MS,
  };
}

/** One connection to a sentinel, to hear what it tells. */
export function sentinelOptions(address: Extract<RedisAddress, { kind: 'sentinel' }>): Options {
  const { username, password } = address.sentinel;
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(address.tls === undefined ? {} : { tls: tlsOptions(address.tls) }),
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
    disconnectTimeout: GOODBYE_MS,
    retryStrategy: (attempt) => Math.min(MAX_SENTINEL_RETRY_MS, 50 * attempt),
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    // A sentinel has no data to load.
    enableReadyCheck: false,
    protocol: 3,
    replyMapping: 'legacy',
  };
}

type ClusterAddress = Extract<RedisAddress, { kind: 'cluster' }>;

export function clusterNodes(address: ClusterAddress): ClusterNode[] {
  return address.endpoints.map(({ host, port }) => ({ host, port }));
}

export function clusterOptions(
  address: ClusterAddress,
): ClusterOptions & { readonly redisOptions: Options } {
  return {
    redisOptions: common(address),
    clusterRetryStrategy: retryDelayMs,
    enableOfflineQueue: false,
    lazyConnect: true,
    maxRedirections: MAX_REDIRECTIONS,
    retryDelayOnFailover: REDIRECTION_PAUSE_MS,
    retryDelayOnClusterDown: REDIRECTION_PAUSE_MS,
    retryDelayOnTryAgain: REDIRECTION_PAUSE_MS,
    slotsRefreshTimeout: LOOKUP_TIMEOUT_MS,
    // The names in a certificate are those of the address: they must not be made numbers.
    ...(address.tls === undefined ? {} : { dnsLookup: (name, done) => done(null, name) }),
  };
}

/** One connection to a cluster's node, for hints; whoever opened it opens the next one. */
export function clusterHintOptions(address: ClusterAddress): Options {
  return { ...common(address), retryStrategy: null, enableOfflineQueue: false, lazyConnect: true };
}
