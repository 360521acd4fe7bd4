import test from 'ava';
import { Code, StatusError, unavailable } from '../common/status.ts';
import { answerOf, HttpError, limitText } from './http-error.ts';

test('a code has its status; what is too large is 413', (t) => {
  t.like(answerOf(unavailable('later')), {
    httpStatus: 503,
    body: { error: 'later', code: 'UNAVAILABLE' },
    isUnforeseen: false,
  });
  t.is(answerOf(new StatusError(Code.RESOURCE_EXHAUSTED, 'too large')).httpStatus, 413);
  t.is(answerOf(new HttpError(405, Code.UNIMPLEMENTED, 'no')).httpStatus, 405);
});

test('what the server refuses keeps its status; anything else is unforeseen', (t) => {
  const refused = Object.assign(new Error('unsupported'), { statusCode: 415 });
  t.like(answerOf(refused), { httpStatus: 415, body: { code: 'INVALID_ARGUMENT' } });
  const strange = Object.assign(new Error('odd'), { statusCode: 500 });
  for (const thrown of [strange, new Error('boom'), 'text', undefined, null]) {
    t.like(answerOf(thrown), { httpStatus: 500, isUnforeseen: true, body: { code: 'INTERNAL' } });
  }
});

test('limits are told in round units where they are round', (t) => {
  t.is(limitText(64 * 1024 * 1024), '64 MiB (67108864 bytes)');
  t.is(limitText(1000), '1000 bytes');
});
