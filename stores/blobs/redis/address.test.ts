import test from 'ava';
import { Code, StatusError } from '../../../common/status.ts';
import { parseRedisBlobsAddress } from './address.ts';

test('an address is taken apart, with its special characters', (t) => {
  t.deepEqual(parseRedisBlobsAddress('redis://me:p%40ss@blobs.example:7000/3?prefix=mine'), {
    host: 'blobs.example',
    port: 7000,
    db: 3,
    username: 'me',
    password: 'p@ss',
    prefix: 'mine',
    shown: 'redis://blobs.example:7000/3',
  });
  const plain = parseRedisBlobsAddress('rediss://[::1]');
  t.like(plain, { host: '::1', port: 6379, db: 0, prefix: 'torus', tls: {} });
});

test('what cannot be read is refused without repeating it', (t) => {
  const bad = [
    'redis://',
    'redis://:hidden%@host',
    'redis://host/hidden',
    'redis://a,b',
    'redis+cluster://host',
    'redis://host?ca=hidden',
    'redis://host?prefix=hidden*',
    'redis://host?password=hidden',
    'http://hidden',
  ];
  for (const address of bad) {
    const error = t.throws(() => parseRedisBlobsAddress(address), undefined, address);
    t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT, address);
    t.notRegex(error.message, /hidden/, address);
  }
});
