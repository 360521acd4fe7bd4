import test from 'ava';
import fc from 'fast-check';
import { VirtualClock } from '../common/clock.ts';
import { gapMs, runClosedLoop, runOpenLoop, type Send } from './generator.ts';

const forever = Number.POSITIVE_INFINITY;

/** A server that answers each call `serviceMs` after it began, one at a time. */
function oneLane(clock: VirtualClock, serviceMs: number, code = 0): Send {
  let freeMs = 0;
  return (done) => {
    freeMs = Math.max(freeMs, clock.nowMs()) + serviceMs;
    clock.after(freeMs - clock.nowMs(), () => done(code));
  };
}

test('the closed loop keeps its concurrency and finds the peak', async (t) => {
  const clock = new VirtualClock();
  const running = runClosedLoop({
    send: oneLane(clock, 10),
    concurrency: 4,
    durationMs: 1_000,
    maxCalls: forever,
    clock,
  });
  clock.advance(2_000);
  const report = await running;
  t.is(report.okPerSecond, 100);
  t.true(Math.abs(report.latencyUs.p50 - 40_000) < 100, `p50 ${report.latencyUs.p50}`);
  t.is(report.sent, report.ok);
});

test('the closed loop ends at its number of calls', async (t) => {
  const clock = new VirtualClock();
  const send = oneLane(clock, 1, 5);
  const running = runClosedLoop({ send, concurrency: 3, durationMs: forever, maxCalls: 7, clock });
  clock.advance(100);
  const report = await running;
  t.is(report.sent, 7);
  t.deepEqual(report.failed, { NOT_FOUND: 7 });
});

test('a stall shows in the open loop as latency from the intended moment', async (t) => {
  const clock = new VirtualClock();
  const stallUntilMs = 500;
  const send: Send = (done) => {
    clock.after(Math.max(1, stallUntilMs - clock.nowMs()), () => done(0));
  };
  const running = runOpenLoop({
    send,
    ratePerSecond: 100,
    durationMs: 1_000,
    arrival: 'constant',
    maxOutstanding: 1_000,
    random: () => 0.5,
    clock,
  });
  clock.advance(3_000);
  const report = await running;
  t.is(report.sent, 99);
  t.is(report.ok, 99);
  t.true(report.latencyUs.max > 480_000, `max ${report.latencyUs.max}`);
  t.true(report.latencyUs.p50 < 30_000, `p50 ${report.latencyUs.p50}`);
});

test('past its bound of outstanding calls the open loop drops and counts', async (t) => {
  const clock = new VirtualClock();
  const running = runOpenLoop({
    send: (done) => void clock.after(5_000, () => done(0)),
    ratePerSecond: 100,
    durationMs: 1_000,
    arrival: 'constant',
    maxOutstanding: 10,
    random: () => 0.5,
    clock,
  });
  clock.advance(10_000);
  const report = await running;
  t.is(report.sent, 10);
  t.is(report.dropped, 89);
});

test('gaps have the mean of their rate and are never negative', (t) => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (value) => {
      const gap = gapMs('poisson', 50, () => value);
      return gap >= 0 && Number.isFinite(gap) && gapMs('constant', 50, () => value) === 20;
    }),
  );
  let sum = 0;
  for (let i = 0; i < 10_000; i += 1) sum += gapMs('poisson', 50, () => (i + 0.5) / 10_000);
  t.true(Math.abs(sum / 10_000 - 20) < 0.1);
});
