// Where a registry on Redis is, as one line of text:
//   redis://[user[:password]@]host[:port][/db]
//   redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/master[/db]
//   redis+cluster://[user[:password]@]host[:port][,host[:port]...]
// rediss for redis is TLS. After a '?': prefix (of every key and channel, default 'torus'), ca,
// cert, key (PEM files), and sentinel_user and sentinel_password. User, password and values are
// percent-encoded. What is said of an address, in errors too, is without its secrets.
import { invalidArgument, type StatusError } from '../../common/status.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface Credentials {
  /** undefined: the default user. */
  readonly username: string | undefined;
  readonly password: string | undefined;
}

export interface TlsFiles {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

interface Common {
  readonly endpoints: readonly [Endpoint, ...Endpoint[]];
  readonly credentials: Credentials;
  /** undefined: no TLS. */
  readonly tls: TlsFiles | undefined;
  readonly prefix: string;
  /** For people: without user, password and options. */
  readonly shown: string;
}

export type RedisAddress =
  | (Common & { readonly kind: 'single'; readonly db: number })
  | (Common & {
      readonly kind: 'sentinel';
      readonly db: number;
      readonly master: string;
      readonly sentinel: Credentials;
    })
  | (Common & { readonly kind: 'cluster' });

const REDIS_PORT = 6379;
const SENTINEL_PORT = 26379;
export const DEFAULT_PREFIX = 'torus';
/** More are a mistake: one that answers tells the rest. */
const MAX_ENDPOINTS = 64;
const MAX_ADDRESS_CHARACTERS = 4_096;
const MAX_DB = 65_535;

const FORMS =
  "'redis://HOST:PORT/DB', 'redis+sentinel://HOST:PORT,HOST:PORT/MASTER' or " +
  "'redis+cluster://HOST:PORT,HOST:PORT' (rediss for TLS; USER:PASSWORD@ before the first host)";

const ADDRESS = new RegExp(
  '^(?<scheme>rediss?)(?<mode>\\+sentinel|\\+cluster)?://(?:(?<auth>.*)@)?(?<hosts>[^/?#@]*)' +
    '(?<path>/[^?#]*)?(?:\\?(?<query>[^#]*))?$',
);
const ENDPOINT =
  /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<host>[A-Za-z0-9._-]+))(?::(?<port>[0-9]{1,5}))?$/;
const OPTIONS = ['prefix', 'ca', 'cert', 'key', 'sentinel_user', 'sentinel_password'] as const;
type Options = Partial<Record<(typeof OPTIONS)[number], string>>;

export function isRedisAddress(text: string): boolean {
  return /^rediss?[+:]/.test(text);
}

/** @throws INVALID_ARGUMENT saying what is wrong and what would be right */
export function parseRedisAddress(text: string): RedisAddress {
  const parts = text.length <= MAX_ADDRESS_CHARACTERS ? ADDRESS.exec(text)?.groups : undefined;
  if (parts === undefined) throw wrong(`it is none of ${FORMS}`);
  const { scheme = '', mode = '', auth, hosts = '', path = '', query = '' } = parts;
  const options = parseOptions(query);
  const isTls = scheme === 'rediss';
  const common = {
    endpoints: parseEndpoints(hosts, mode === '+sentinel' ? SENTINEL_PORT : REDIS_PORT),
    credentials: parseAuth(auth),
    tls: parseTls(isTls, options),
    prefix: parsePrefix(options.prefix),
    shown: `${scheme}${mode}://${hosts}${path}`,
  };
  const steps = path.split('/').slice(1);
  switch (mode) {
    case '+sentinel': {
      const [master = '', db = '', ...more] = steps;
      if (!/^[A-Za-z0-9._-]{1,128}$/.test(master) || more.length > 0) {
        throw wrong(
          "after the sentinels comes '/' and the master's name, then perhaps '/' and a db",
        );
      }
      const sentinel = {
        username: options.sentinel_user,
        password: options.sentinel_password,
      };
      return { ...common, kind: 'sentinel', master, db: parseDb(db), sentinel };
    }
    case '+cluster':
      if (path.length > 1) throw wrong('a cluster has no databases: nothing comes after its hosts');
      return { ...common, kind: 'cluster' };
    default: {
      const [db = '', ...more] = steps;
      if (more.length > 0) throw wrong("after the host comes at most '/' and the number of a db");
      if (common.endpoints.length > 1) {
        throw wrong('several hosts are redis+sentinel:// or redis+cluster://');
      }
      return { ...common, kind: 'single', db: parseDb(db) };
    }
  }
}

function wrong(what: string): StatusError {
  return invalidArgument(`the address of the registry on Redis can not be read: ${what}`);
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong(`its ${what} is not percent-encoded rightly (write '%' as '%25', '@' as '%40')`);
  }
}

function parseEndpoints(text: string, defaultPort: number): Common['endpoints'] {
  const [first, ...rest] = text.split(',').map((one): Endpoint => {
    const found = ENDPOINT.exec(one)?.groups;
    const host = found?.v6 ?? found?.host;
    const port = found?.port === undefined ? defaultPort : Number(found.port);
    if (host === undefined || port < 1 || port > 65_535) {
      throw wrong(`'${one.slice(0, 64)}' is not HOST or HOST:PORT`);
    }
    return { host, port };
  });
  if (first === undefined || rest.length >= MAX_ENDPOINTS) {
    throw wrong(`it names ${rest.length + 1} hosts, 1 to ${MAX_ENDPOINTS} are right`);
  }
  return [first, ...rest];
}

function parseAuth(text: string | undefined): Credentials {
  if (text === undefined) return { username: undefined, password: undefined };
  const at = text.indexOf(':');
  const username = decode(at < 0 ? text : text.slice(0, at), 'user');
  const password = at < 0 ? '' : decode(text.slice(at + 1), 'password');
  if (password === '') throw wrong('a user without a password: USER:PASSWORD@ or :PASSWORD@');
  return { username: username === '' ? undefined : username, password };
}

function parseOptions(query: string): Options {
  const options: Options = {};
  for (const pair of query === '' ? [] : query.split('&')) {
    const at = pair.indexOf('=');
    const name = OPTIONS.find((one) => one === pair.slice(0, at));
    if (name === undefined)
      throw wrong(`after '?' it may have NAME=VALUE of ${OPTIONS.join(', ')}`);
    options[name] = decode(pair.slice(at + 1), name);
  }
  return options;
}

function parseTls(isTls: boolean, { ca, cert, key }: Options): TlsFiles | undefined {
  if (!isTls && (ca ?? cert ?? key) !== undefined) {
    throw wrong('ca, cert and key are for TLS: begin it with rediss');
  }
  if ((cert === undefined) !== (key === undefined)) throw wrong('cert and key go together');
  return isTls ? { ca, cert, key } : undefined;
}

function parsePrefix(prefix = DEFAULT_PREFIX): string {
  // No braces: they would move the keys of one transition apart in a cluster.
  if (/^[A-Za-z0-9._-]{1,64}$/.test(prefix)) return prefix;
  throw wrong('prefix is 1 to 64 letters, digits, dots, underscores and hyphens');
}

function parseDb(text: string): number {
  const db = text === '' ? 0 : /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (db <= MAX_DB) return db;
  throw wrong(`'${text.slice(0, 64)}' is not the number of a db`);
}
