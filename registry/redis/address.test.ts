import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { isRedisAddress, parseRedisAddress, type RedisAddress } from './address.ts';

const NOBODY = { username: undefined, password: undefined };

function single(more: Partial<Extract<RedisAddress, { kind: 'single' }>>): RedisAddress {
  return {
    kind: 'single',
    endpoints: [{ host: 'cache', port: 6379 }],
    credentials: NOBODY,
    tls: undefined,
    prefix: 'torus',
    db: 0,
    shown: 'redis://cache',
    ...more,
  };
}

test('one server', (t) => {
  t.deepEqual(parseRedisAddress('redis://cache'), single({}));
  t.deepEqual(
    parseRedisAddress('redis://cache:7000/2'),
    single({ endpoints: [{ host: 'cache', port: 7000 }], db: 2, shown: 'redis://cache:7000/2' }),
  );
  t.deepEqual(
    parseRedisAddress('redis://[::1]:7000/'),
    single({ endpoints: [{ host: '::1', port: 7000 }], shown: 'redis://[::1]:7000/' }),
  );
  t.deepEqual(
    parseRedisAddress('redis://torus:p%40ss%3A@cache?prefix=blue'),
    single({ credentials: { username: 'torus', password: 'p@ss:' }, prefix: 'blue' }),
  );
  t.deepEqual(
    parseRedisAddress('redis://:p%25ss@cache'),
    single({ credentials: { username: undefined, password: 'p%ss' } }),
  );
  t.deepEqual(
    parseRedisAddress('rediss://cache?ca=%2Fetc%2Fca.pem'),
    single({
      tls: { ca: '/etc/ca.pem', cert: undefined, key: undefined },
      shown: 'rediss://cache',
    }),
  );
});

test('a master that sentinels name', (t) => {
  const address = 'redis+sentinel://u:p@a,b:1,c:26380/main/4?sentinel_password=s%20p';
  t.deepEqual(parseRedisAddress(address), {
    kind: 'sentinel',
    endpoints: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 1 },
      { host: 'c', port: 26380 },
    ],
    credentials: { username: 'u', password: 'p' },
    sentinel: { username: undefined, password: 's p' },
    tls: undefined,
    prefix: 'torus',
    master: 'main',
    db: 4,
    shown: 'redis+sentinel://a,b:1,c:26380/main/4',
  });
});

test('a cluster', (t) => {
  t.deepEqual(parseRedisAddress('rediss+cluster://a:1,b'), {
    kind: 'cluster',
    endpoints: [
      { host: 'a', port: 1 },
      { host: 'b', port: 6379 },
    ],
    credentials: NOBODY,
    tls: { ca: undefined, cert: undefined, key: undefined },
    prefix: 'torus',
    shown: 'rediss+cluster://a:1,b',
  });
});

const WRONG: readonly (readonly [string, RegExp])[] = [
  ['redis:/x', /none of 'redis:\/\/HOST:PORT\/DB'/],
  ['redis+other://x', /none of/],
  ['redis://', /'' is not HOST or HOST:PORT/],
  ['redis://a b', /'a b' is not HOST/],
  ['redis://a:0', /'a:0' is not HOST/],
  ['redis://a:65536', /'a:65536' is not HOST/],
  ['redis://a,b', /several hosts are redis\+sentinel/],
  ['redis://a/x', /'x' is not the number of a db/],
  ['redis://a/1/2', /at most/],
  ['redis://secret@a', /user without a password/],
  ['redis://u:%zz-secret@a', /password is not percent-encoded rightly/],
  ['redis://a?prefix={secret}', /prefix is 1 to 64/],
  ['redis://a?secret=1', /NAME=VALUE of prefix, ca/],
  ['redis://a?ca=x', /begin it with rediss/],
  ['rediss://a?cert=x', /cert and key go together/],
  ['redis+sentinel://a', /the master's name/],
  ['redis+cluster://a/0', /no databases/],
  [`redis+cluster://${Array.from({ length: 65 }, () => 'a').join()}`, /65 hosts, 1 to 64/],
  [`redis://${'a'.repeat(5_000)}`, /none of/],
];

for (const [address, message] of WRONG) {
  test(`refused: ${address.slice(0, 40)}`, (t) => {
    const error = t.throws(() => parseRedisAddress(address), {
      instanceOf: StatusError,
      code: Code.INVALID_ARGUMENT,
    });
    t.regex(error?.message ?? '', message);
    t.notRegex(error?.message ?? '', /secret/);
  });
}

test('any user and password come through, and are in nothing that is shown', (t) => {
  const secrets = fc.string({ minLength: 8, unit: 'binary' });
  fc.assert(
    fc.property(secrets, secrets, (username, password) => {
      const encoded = [username, password].map(encodeURIComponent).join(':');
      const address = parseRedisAddress(`redis://${encoded}@cache`);
      t.deepEqual(address.credentials, { username, password });
      t.is(address.shown, 'redis://cache');
    }),
  );
});

test('any text is an address or a clear error', (t) => {
  const parts = fc.constantFrom('redis', 's', '+cluster', '+sentinel', '://', '@', ':', '/', '?');
  const text = fc.array(fc.oneof(parts, fc.string({ maxLength: 5 }))).map((all) => all.join(''));
  fc.assert(
    fc.property(text, (address) => {
      try {
        parseRedisAddress(address);
        t.true(isRedisAddress(address));
      } catch (error) {
        t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT);
      }
      t.pass();
    }),
  );
});
