import test from 'ava';
import { Code, codeName, codeOf, httpStatusOf, StatusError, statusOf } from './status.ts';

test('every code has its name and comes back from its number', (t) => {
  for (const [name, code] of Object.entries(Code)) {
    t.is(codeName(code), name as keyof typeof Code);
    t.is(codeOf(code), code);
  }
});

test('a number that gRPC does not define is UNKNOWN', (t) => {
  t.is(codeOf(99), Code.UNKNOWN);
  t.is(codeName(-1), 'UNKNOWN');
});

test('HTTP statuses follow the code', (t) => {
  t.is(httpStatusOf(Code.NOT_FOUND), 404);
  t.is(httpStatusOf(Code.INVALID_ARGUMENT), 400);
  t.is(httpStatusOf(Code.UNAVAILABLE), 503);
});

test('what was thrown becomes a StatusError once, and keeps its cause', (t) => {
  const original = new StatusError(Code.ABORTED, 'revision is 2, expected 1');
  t.is(statusOf(original), original);
  const cause = new Error('disk');
  const translated = statusOf(cause);
  t.is(translated.code, Code.INTERNAL);
  t.is(translated.cause, cause);
  t.is(statusOf('text', Code.UNAVAILABLE).message, 'text');
});
