import test from 'ava';
import fc from 'fast-check';
import {
  checkName,
  isName,
  isSha256,
  parseVersion,
  requestForUnknownModel,
  shownName,
} from './names.ts';
import { Code, StatusError } from './status.ts';

test('names start with a letter or digit and hold harmless characters only', (t) => {
  for (const good of ['a', '0', 'digits', 'my-model_v1.2', 'A'.repeat(128)]) t.true(isName(good));
  const bad = ['', '.', '..', '-a', '_a', 'a/b', 'a\\b', 'a b', 'é', 'a\n', 'A'.repeat(129), 'a\0'];
  for (const text of bad) t.false(isName(text), JSON.stringify(text));
});

test('a refused name is shown, cut, with what is allowed', (t) => {
  const error = t.throws(() => checkName('model', `../${'x'.repeat(500)}`));
  t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT);
  t.regex(error.message, /^model name "\.\.\/x+\.\.\." is not allowed: it must start with/);
  t.true(error.message.length < 300);
});

test('no name can leave a folder', (t) => {
  fc.assert(
    fc.property(fc.string(), (text) => !isName(text) || (!text.includes('/') && text !== '..')),
  );
  t.pass();
});

test('versions are digits without sign or leading zero, exact as numbers', (t) => {
  t.is(parseVersion(''), undefined);
  t.is(parseVersion('7'), 7);
  t.is(parseVersion('9007199254740991'), Number.MAX_SAFE_INTEGER);
  for (const bad of ['0', '-1', '01', 'x', '1.5', '9007199254740992', '1e3', ' 1']) {
    t.throws(() => parseVersion(bad), { message: /should be an integral value > 0/ }, bad);
  }
});

test('hashes are 64 lower-case hexadecimal digits', (t) => {
  t.true(isSha256('0123456789abcdef'.repeat(4)));
  t.false(isSha256('0123456789ABCDEF'.repeat(4)));
  t.false(isSha256('00'));
});

test('a name that was made up is repeated only so far', (t) => {
  t.is(shownName('digits'), 'digits');
  t.is(shownName('x'.repeat(1_000)).length, 128);
  t.is(requestForUnknownModel('a'), "Request for unknown model: 'a'");
});
