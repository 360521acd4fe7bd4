import test from 'ava';
import { DEFAULT_DEADLINE_MS } from '../transport/backend.ts';
import { timeoutOf } from './call-options.ts';
import { MAX_DEADLINE_MS } from './limits.ts';

test('a deadline is digits and a unit, cut at the longest that is allowed', (t) => {
  t.is(timeoutOf(undefined), DEFAULT_DEADLINE_MS);
  t.is(timeoutOf('250m'), 250);
  t.is(timeoutOf(' 2S '), 2_000);
  t.is(timeoutOf('1M'), 60_000);
  t.is(timeoutOf('500u'), 0.5);
  t.is(timeoutOf('99999999H'), MAX_DEADLINE_MS);
  for (const wrong of ['', '5', 'm', '-1m', '1.5S', '123456789m', '1s', '1 m', 'NaN']) {
    t.throws(() => timeoutOf(wrong), { message: /is no duration: give up to 8 digits/ }, wrong);
  }
});
