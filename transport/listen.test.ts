import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { checkListen, formatAddress, isLoopback, listenError } from './listen.ts';

test('loopback is told from the rest', (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.9.8.7', '::1', '[::1]', '::ffff:127.0.0.1']) {
    t.true(isLoopback(host), host);
  }
  for (const host of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    'example.org',
    '128.0.0.1',
    '127.0.0.1.nip.io',
  ]) {
    t.false(isLoopback(host), host);
  }
});

test('plain text off loopback needs --insecure', (t) => {
  const plain = { host: '0.0.0.0', hasTls: false, isInsecureAllowed: false };
  const error = t.throws(() => checkListen(plain), { instanceOf: StatusError });
  t.is(error?.code, Code.FAILED_PRECONDITION);
  t.regex(error?.message ?? '', /0\.0\.0\.0.*--insecure/);
  t.notThrows(() => checkListen({ ...plain, isInsecureAllowed: true }));
  t.notThrows(() => checkListen({ ...plain, hasTls: true }));
  t.notThrows(() => checkListen({ ...plain, host: '127.0.0.1' }));
});

test('a failed bind says what to do', (t) => {
  const taken = listenError('127.0.0.1', 8001, '--grpc-port', new Error('bind EADDRINUSE'));
  t.is(taken.code, Code.ALREADY_EXISTS);
  t.regex(taken.message, /port 8001 .* in use .*--grpc-port/);
  t.is(listenError('::1', 80, undefined, new Error('EACCES')).code, Code.PERMISSION_DENIED);
  t.regex(listenError('h', 1, undefined, new Error('odd')).message, /cannot listen on h:1: odd/);
});

test('IPv6 addresses get brackets', (t) => {
  t.is(formatAddress('::1', 80), '[::1]:80');
  t.is(formatAddress('127.0.0.1', 80), '127.0.0.1:80');
});
