import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { ACCEPT_ENCODING_FIELD, accepts, checkMayBeCompressed, encodingOf } from './encoding.ts';

test('identity and gzip are known, none is identity', (t) => {
  t.is(encodingOf(undefined), 'identity');
  t.is(encodingOf('identity'), 'identity');
  t.is(encodingOf('gzip'), 'gzip');
  t.is(ACCEPT_ENCODING_FIELD.value, 'identity,gzip');
});

test('any other is UNIMPLEMENTED, and those that are known are told', (t) => {
  for (const name of ['', 'br', 'GZIP', 'gzip,identity', 'x'.repeat(9000)]) {
    const error = t.throws(() => encodingOf(name), { instanceOf: StatusError });
    t.is(error.code, Code.UNIMPLEMENTED);
    t.regex(error.message, /identity and gzip are/);
    t.true(error.message.length < 120);
  }
});

test('what the peer takes is in its list, identity is taken always', (t) => {
  t.true(accepts('gzip', 'identity,deflate,gzip'));
  t.true(accepts('gzip', 'identity, gzip ,br'));
  t.false(accepts('gzip', 'identity,xgzip,gzip2'));
  t.false(accepts('gzip', undefined));
  t.true(accepts('identity', undefined));
});

test('a compressed message without a compression is INTERNAL', (t) => {
  const error = t.throws(() => checkMayBeCompressed('identity'), { instanceOf: StatusError });
  t.is(error.code, Code.INTERNAL);
  t.notThrows(() => checkMayBeCompressed('gzip'));
});
