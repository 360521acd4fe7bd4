import test from 'ava';
import fc from 'fast-check';
import {
  CopyHealth,
  EJECT_AFTER_FAILURES,
  EJECTION_MS,
  FIRST_SHARE,
  MAX_EJECTION_MS,
  mostEjected,
  SLOW_START_MS,
  slowStartShare,
} from './copy-health.ts';

function fails(health: CopyHealth, times: number, nowMs: number): boolean {
  let isEjected = false;
  for (let at = 0; at < times; at += 1) isEjected = health.failed(nowMs) || isEjected;
  return isEjected;
}

test('failures in a row eject it, a success between them starts the count anew', (t) => {
  const health = new CopyHealth();
  t.false(fails(health, EJECT_AFTER_FAILURES - 1, 0));
  health.succeeded();
  t.false(fails(health, EJECT_AFTER_FAILURES - 1, 0));
  t.true(fails(health, 1, 0));
  t.true(health.isEjected(EJECTION_MS - 1));
  t.false(health.isEjected(EJECTION_MS));
});

test('what still fails while it is out makes it no longer', (t) => {
  const health = new CopyHealth();
  fails(health, EJECT_AFTER_FAILURES, 0);
  t.false(fails(health, 100, 10));
  t.is(health.ejectedUntilMs, EJECTION_MS);
});

test('each time is longer, up to the longest; good times are counted off', (t) => {
  const health = new CopyHealth();
  let nowMs = 0;
  const times: number[] = [];
  for (let round = 0; round < 12; round += 1) {
    fails(health, EJECT_AFTER_FAILURES, nowMs);
    times.push(health.ejectedUntilMs - nowMs);
    nowMs = health.ejectedUntilMs;
  }
  t.deepEqual(times.slice(0, 3), [EJECTION_MS, 2 * EJECTION_MS, 3 * EJECTION_MS]);
  t.is(times.at(-1), MAX_EJECTION_MS);
  t.false(health.isForgotten(nowMs));
  nowMs += EJECTION_MS * 100;
  t.true(health.isForgotten(nowMs));
  fails(health, EJECT_AFTER_FAILURES, nowMs);
  t.is(health.ejectedUntilMs - nowMs, EJECTION_MS);
});

test('who comes back gets a growing share, and all of it after the slow start', (t) => {
  t.is(slowStartShare(Number.NEGATIVE_INFINITY, 5), 1);
  t.is(slowStartShare(100, 100), FIRST_SHARE);
  t.is(slowStartShare(100, 100 + SLOW_START_MS / 2), 0.5);
  t.is(slowStartShare(100, 100 + SLOW_START_MS), 1);
  fc.assert(
    fc.property(fc.nat(SLOW_START_MS * 2), fc.nat(1_000), (at, later) => {
      return slowStartShare(0, at + later) >= slowStartShare(0, at);
    }),
  );
});

test('never more than half of the copies are left out', (t) => {
  t.deepEqual([0, 1, 2, 3, 4, 5].map(mostEjected), [0, 0, 1, 1, 2, 2]);
});
