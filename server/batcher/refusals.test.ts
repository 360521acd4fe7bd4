import test from 'ava';
import { Code } from '../../common/status.ts';
import { late, MAX_PUSHBACK_MS, overloaded, pushbackMs } from './refusals.ts';

test('who could be taken another time is told so; who is too late is not', (t) => {
  const full = overloaded('queue-full', 12);
  t.deepEqual([full.code, full.retryAfterMs], [Code.UNAVAILABLE, 12]);
  t.is(full.message, 'Exceeds maximum queue size');
  t.is(overloaded('deadline', 7).retryAfterMs, 7);
  t.is(late().code, Code.DEADLINE_EXCEEDED);
});

test('who is asked to come again hears of a time that is neither now nor never', (t) => {
  t.is(pushbackMs(0.2), 1);
  t.is(pushbackMs(-5), 1);
  t.is(pushbackMs(41.3), 42);
  t.is(pushbackMs(1e9), MAX_PUSHBACK_MS);
});
