// One timer for many deadlines, in simulated time.
import test from 'ava';
import fc from 'fast-check';
import { type Clock, VirtualClock } from '../../common/clock.ts';
import { DEADLINE_GAP_MS, DeadlineWatch } from './deadline-watch.ts';

/** Deadlines that are open, and when each was seen to have passed. */
function watched(clock: Clock) {
  const open = new Set<number>();
  const passed = new Map<number, number>();
  let looks = 0;
  const watch = new DeadlineWatch(clock, (nowMs) => {
    looks++;
    let next = Number.POSITIVE_INFINITY;
    for (const deadlineMs of open) {
      if (deadlineMs <= nowMs) {
        open.delete(deadlineMs);
        passed.set(deadlineMs, nowMs);
      } else next = Math.min(next, deadlineMs);
    }
    return next;
  });
  const begin = (deadlineMs: number): void => {
    open.add(deadlineMs);
    watch.note(deadlineMs);
  };
  return { begin, open, passed, watch, looks: () => looks };
}

test('every deadline is seen once it has passed, never before, and soon', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 400 })), { maxLength: 60 }),
      (calls) => {
        const clock = new VirtualClock();
        const { begin, open, passed } = watched(clock);
        for (const [pauseMs, timeoutMs] of calls) {
          clock.advance(pauseMs);
          begin(clock.nowMs() + timeoutMs);
        }
        clock.advance(1_000);
        if (open.size > 0) return false;
        for (const [deadlineMs, seenMs] of passed) {
          if (seenMs < deadlineMs || seenMs > deadlineMs + DEADLINE_GAP_MS + 1) return false;
        }
        return true;
      },
    ),
  );
  t.pass();
});

test('calls that are answered in time cost one look for as long as their deadlines last', (t) => {
  const clock = new VirtualClock();
  const { begin, open, looks } = watched(clock);
  for (let at = 0; at < 5_000; at++) {
    begin(clock.nowMs() + 60_000);
    open.clear();
    clock.advance(100);
  }
  t.true(looks() <= 500_000 / 60_000 + 1, `${looks()} looks`);
});

test('deadlines close to each other are looked at together', (t) => {
  const clock = new VirtualClock();
  const { begin, looks, passed } = watched(clock);
  for (let at = 0; at < 1_000; at++) begin(100 + at / 100);
  clock.advance(200);
  t.is(passed.size, 1_000);
  t.true(looks() <= 5, `${looks()} looks`);
});

test('stopped, it holds no timer; without deadlines it has none', (t) => {
  const timers = new Set<() => void>();
  const clock: Clock = {
    nowMs: () => 0,
    after: (_delayMs, callback) => {
      timers.add(callback);
      return () => timers.delete(callback);
    },
  };
  const { begin, watch } = watched(clock);
  watch.note(Number.POSITIVE_INFINITY);
  t.is(timers.size, 0);
  begin(1_000);
  begin(500);
  begin(700);
  t.is(timers.size, 1);
  watch.stop();
  t.is(timers.size, 0);
});
