import test from 'ava';
import { Code, codeName, StatusError } from '../../common/status.ts';
import { redisError } from './redis-errors.ts';

class ReplyError extends Error {
  override get name(): string {
    return 'ReplyError';
  }
}

const WHERE = 'redis://cache';

/** What Redis or the client says, and which code that is. */
const SAID: readonly (readonly [Error, keyof typeof Code])[] = [
  [new Error('connect ECONNREFUSED 127.0.0.1:1'), 'UNAVAILABLE'],
  [new Error('Connection is closed.'), 'UNAVAILABLE'],
  [new ReplyError('LOADING Redis is loading the dataset in memory'), 'UNAVAILABLE'],
  [new ReplyError("READONLY You can't write against a read only replica."), 'UNAVAILABLE'],
  [new ReplyError('MASTERDOWN Link with MASTER is down'), 'UNAVAILABLE'],
  [new ReplyError('CLUSTERDOWN The cluster is down'), 'UNAVAILABLE'],
  [new ReplyError('TRYAGAIN Multiple keys request during rehashing of slot'), 'UNAVAILABLE'],
  [new ReplyError('BUSY Redis is busy running a script.'), 'UNAVAILABLE'],
  [new ReplyError("OOM command not allowed when used memory > 'maxmemory'."), 'RESOURCE_EXHAUSTED'],
  [new ReplyError('MISCONF Redis is configured to save RDB snapshots'), 'RESOURCE_EXHAUSTED'],
  [new ReplyError('NOAUTH Authentication required.'), 'UNAUTHENTICATED'],
  [new ReplyError('WRONGPASS invalid username-password pair'), 'UNAUTHENTICATED'],
  [new ReplyError('NOPERM this user has no permissions'), 'PERMISSION_DENIED'],
  [new ReplyError('WRONGTYPE Operation against a key'), 'DATA_LOSS'],
  [new ReplyError("ERR Error compiling script: unexpected symbol near '#'"), 'FAILED_PRECONDITION'],
  [new ReplyError('ERR something else'), 'INTERNAL'],
];

for (const [error, name] of SAID) {
  test(`${error.message.slice(0, 40)} is ${name}`, (t) => {
    const command = { name: 'evalsha', args: ['digest', 'secret'] };
    const translated = redisError(Object.assign(error, { command }), WHERE, [
      'torus:{nodes}:copies',
    ]);
    t.is(codeName(translated.code), name);
    t.true(translated.message.includes(name === 'DATA_LOSS' ? 'torus:{nodes}:copies' : WHERE));
    // Neither the arguments of the command, nor the error that carries them.
    t.false(JSON.stringify(translated).includes('secret'));
    t.is(translated.cause, undefined);
  });
}

test('one that is translated stays what it is, one without an end is cut', (t) => {
  const already = new StatusError(Code.ABORTED, 'x');
  t.is(redisError(already, WHERE, []), already);
  t.true(redisError(new ReplyError('x'.repeat(1e6)), WHERE, []).message.length < 1_000);
  t.is(redisError('text', WHERE, []).code, Code.UNAVAILABLE);
});
