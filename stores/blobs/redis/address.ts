// Where blobs on Redis are: redis://[user[:password]@]host[:port][/db], rediss for TLS. After a
// '?': prefix (of every key, default 'torus'), ca, cert, key (PEM files). One server of its own:
// not the registry's, which may lose what it has.
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { invalidArgument, type StatusError } from '../../../common/status.ts';
import { diskError } from '../../disk-error.ts';

const FILES = ['ca', 'cert', 'key'] as const;
const DEFAULT_PORT = 6_379;
const DEFAULT_PREFIX = 'torus';

export interface RedisBlobsAddress {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: ConnectionOptions;
  readonly prefix: string;
  /** For messages: neither user nor password. */
  readonly shown: string;
}

function wrong(what: string): StatusError {
  return invalidArgument(
    `the address of the blobs on Redis cannot be read: ${what}; it must be like ` +
      'redis://user:password@host:6379/0 (rediss for TLS), with %XX for special characters',
  );
}

/** @throws INVALID_ARGUMENT without repeating what may be a secret; as a disk may fail */
export function parseRedisBlobsAddress(text: string): RedisBlobsAddress {
  const url = URL.parse(text);
  if (url === null || !['redis:', 'rediss:'].includes(url.protocol)) {
    throw wrong('it is no redis:// address of one server');
  }
  const host = decoded(url.hostname, 'host').replace(/^\[(.*)\]$/, '$1');
  if (host === '' || host.includes(',')) throw wrong('it is not that of one host');
  const db = /^\/?(\d{0,5})$/.exec(url.pathname)?.[1];
  if (db === undefined) throw wrong("after the host comes at most '/' and the number of a db");
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  const username = decoded(url.username, 'user');
  const password = decoded(url.password, 'password');
  return {
    host,
    port,
    db: Number(db),
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...optionsOf(url.protocol === 'rediss:', url.searchParams),
    shown: `${url.protocol}//${url.host}${db === '' ? '' : `/${db}`}`,
  };
}

function decoded(part: string, what: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw wrong(`its ${what} has a percent sign that is not written %25`);
  }
}

function optionsOf(
  isTls: boolean,
  parameters: URLSearchParams,
): Pick<RedisBlobsAddress, 'tls' | 'prefix'> {
  const tls: ConnectionOptions = {};
  let prefix = DEFAULT_PREFIX;
  for (const [name, value] of parameters) {
    const file = FILES.find((known) => known === name);
    if (name === 'prefix' && /^[A-Za-z0-9._-]{1,64}$/.test(value)) prefix = value;
    else if (file !== undefined && isTls) tls[file] = contentOf(file, value);
    else throw wrong(`it has a parameter ${JSON.stringify(name.slice(0, 40))} that does not fit`);
  }
  return isTls ? { tls, prefix } : { prefix };
}

function contentOf(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    throw diskError(thrown, `read the ${name} of the blobs on Redis`, path);
  }
}
