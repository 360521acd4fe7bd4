import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { parsePostgresAddress } from './postgres-address.ts';

test('an address is taken apart, with its special characters', (t) => {
  t.deepEqual(parsePostgresAddress('postgres://me:p%40ss%2Fword@127.0.0.1:6432/torus'), {
    host: '127.0.0.1',
    port: 6432,
    database: 'torus',
    user: 'me',
    password: 'p@ss/word',
    ssl: false,
    shown: 'postgres://127.0.0.1:6432/torus',
  });
  const ipv6 = parsePostgresAddress('postgresql://[::1]/torus');
  t.like(ipv6, { host: '::1', port: 5432, ssl: false, shown: 'postgres://[::1]:5432/torus' });
  const socket = parsePostgresAddress('postgres://me@%2Frun%2Fpostgresql/torus');
  t.like(socket, { host: '/run/postgresql', ssl: false });
});

test('off loopback the certificate is verified unless told otherwise', async (t) => {
  const at = (query: string) => parsePostgresAddress(`postgres://db.example/torus${query}`).ssl;
  t.deepEqual(at(''), {});
  t.deepEqual(at('?sslmode=verify-full'), {});
  t.is(at('?sslmode=disable'), false);
  t.like(at('?sslmode=require'), { rejectUnauthorized: false });
  const folder = await mkdtemp(join(tmpdir(), 'torus-address-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const ca = join(folder, 'ca.pem');
  await writeFile(ca, 'certificate');
  for (const mode of ['require', 'verify-ca']) {
    const ssl = at(`?sslmode=${mode}&sslrootcert=${encodeURIComponent(ca)}`);
    t.like(ssl, { ca: 'certificate' });
    t.true(ssl !== false && ssl.rejectUnauthorized === undefined);
    t.is(ssl !== false && ssl.checkServerIdentity?.('db.example', {} as never), undefined);
  }
  const missing = t.throws(() => at(`?sslrootcert=${join(folder, 'absent')}`));
  t.true(missing instanceof StatusError && missing.message.includes('sslrootcert'));
});

test('what cannot be read is refused without repeating it', (t) => {
  const bad = [
    'postgres://me:hidden@host:port/torus',
    'postgres://me:hidden@127.0.0.1',
    'postgres://me:hidden@127.0.0.1/',
    'postgres://me:hidden%@127.0.0.1/torus',
    'postgres://me:hidden@127.0.0.1/torus?sslmode=maybe',
    'postgres://me:hidden@127.0.0.1/torus?sslpassword=hidden',
    'mysql://me:hidden@127.0.0.1/torus',
  ];
  for (const address of bad) {
    const error = t.throws(() => parsePostgresAddress(address), undefined, address);
    t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT, address);
    t.notRegex(JSON.stringify([error.message, error.cause]), /hidden/, address);
  }
});
