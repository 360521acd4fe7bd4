// A PostgreSQL address as people write it, postgres://user:password@host:port/database?sslmode=...,
// as what the driver takes. Read here rather than by the driver: its errors repeat the address, and
// a password with it; and a mode of TLS means here what it means to psql.
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { invalidArgument } from '../../common/status.ts';
import { diskError } from '../disk-error.ts';

const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
const FILES = { sslrootcert: 'ca', sslcert: 'cert', sslkey: 'key' } as const;
const DEFAULT_PORT = 5_432;

export interface PostgresAddress {
  /** A folder, beginning with '/', for a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** Absent: PGUSER or the system's user. */
  readonly user?: string;
  /** Absent: PGPASSWORD, or what ~/.pgpass says. */
  readonly password?: string;
  readonly ssl: false | ConnectionOptions;
  /** For messages: neither user nor password. */
  readonly shown: string;
}

/**
 * Of the parameters it knows sslmode (disable, require, verify-ca, verify-full) and the files
 * sslrootcert, sslcert and sslkey. Without sslmode: disable on loopback and Unix sockets,
 * verify-full elsewhere.
 * @throws INVALID_ARGUMENT without repeating what may be a secret; as a disk may fail
 */
export function parsePostgresAddress(text: string): PostgresAddress {
  const url = URL.parse(text);
  if (url === null || !['postgres:', 'postgresql:'].includes(url.protocol)) {
    throw invalidArgument(
      'the address of PostgreSQL cannot be read: it must be like ' +
        'postgres://user:password@host:5432/database, with %XX for special characters',
    );
  }
  const host = decoded(url.hostname, 'host').replace(/^\[(.*)\]$/, '$1') || 'localhost';
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  const database = decoded(url.pathname.slice(1), 'database');
  if (database === '' || database.includes('/')) {
    throw invalidArgument(
      `the address of PostgreSQL at ${host} names no database: it must end in /database`,
    );
  }
  const user = decoded(url.username, 'user');
  const password = decoded(url.password, 'password');
  return {
    host,
    port,
    database,
    ...(user === '' ? {} : { user }),
    ...(password === '' ? {} : { password }),
    ssl: sslOf(host, url.searchParams),
    shown: `postgres://${host.includes(':') ? `[${host}]` : host}:${port}/${database}`,
  };
}

function decoded(part: string, what: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalidArgument(
      `the ${what} in the address of PostgreSQL cannot be read: write a percent sign as %25`,
    );
  }
}

function sslOf(host: string, parameters: URLSearchParams): false | ConnectionOptions {
  for (const name of parameters.keys()) {
    if (name === 'sslmode' || Object.hasOwn(FILES, name)) continue;
    throw invalidArgument(
      `the address of PostgreSQL has a parameter ${JSON.stringify(name.slice(0, 40))}: known are ` +
        `sslmode, ${Object.keys(FILES).join(', ')}`,
    );
  }
  const mode = parameters.get('sslmode') ?? (isLocal(host) ? 'disable' : 'verify-full');
  if (!SSL_MODES.some((known) => known === mode)) {
    throw invalidArgument(
      `sslmode ${JSON.stringify(mode.slice(0, 40))} is not known: use ${SSL_MODES.join(', ')}`,
    );
  }
  if (mode === 'disable') return false;
  const options: ConnectionOptions = {};
  for (const [name, option] of Object.entries(FILES)) {
    const path = parameters.get(name);
    if (path !== null) options[option] = contentOf(name, path);
  }
  // As with psql: 'require' encrypts, and looks at the certificate only when given one to trust.
  if (mode === 'require' && options.ca === undefined) options.rejectUnauthorized = false;
  if (mode !== 'verify-full') options.checkServerIdentity = () => undefined;
  return options;
}

function isLocal(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\./.test(host);
}

function contentOf(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    throw diskError(thrown, `read the ${name} of PostgreSQL`, path);
  }
}
