// When a client dials, in simulated time.
import test from 'ava';
import fc from 'fast-check';
import { DialPlan } from './dial-plan.ts';

const HALF = (): number => 0.5;
const plan = (random = HALF, maxConnections = 2): DialPlan =>
  new DialPlan({ minMs: 100, maxMs: 2_000, maxConnections, random });

test('the first call dials, those behind it wait for that attempt', (t) => {
  const one = plan();
  t.is(one.ask(0), 'dial');
  t.is(one.ask(0), 'wait');
  t.true(one.isDialing);
  t.is(one.wakeAtMs, Number.POSITIVE_INFINITY);
});

test('pauses grow from failure to failure up to the longest, and begin small again', (t) => {
  const one = plan();
  let nowMs = 0;
  const pauses: number[] = [];
  for (let at = 0; at < 9; at++) {
    t.is(one.ask(nowMs), 'dial');
    nowMs += 30;
    t.true(one.failed(nowMs));
    t.is(one.ask(nowMs), 'refuse');
    t.true(one.isRefusing(nowMs));
    pauses.push(Math.round(one.wakeAtMs - nowMs));
    t.is(one.ask(one.wakeAtMs - 1), 'refuse');
    nowMs = one.wakeAtMs;
    t.false(one.isRefusing(nowMs));
  }
  t.deepEqual(pauses, [100, 160, 256, 410, 655, 1049, 1678, 2000, 2000]);
  t.is(one.ask(nowMs), 'dial');
  one.connected();
  one.ended();
  nowMs += 5_000;
  t.is(one.ask(nowMs), 'dial');
  one.failed(nowMs);
  t.is(Math.round(one.wakeAtMs - nowMs), 100);
});

test('pauses differ from client to client, by a fifth at most', (t) => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (random) => {
      const one = plan(() => random);
      one.ask(0);
      one.failed(0);
      const from = one.wakeAtMs;
      return from >= 80 && from <= 120;
    }),
  );
  const ends = [0, 0.999].map((random) => {
    const one = plan(() => random);
    one.ask(0);
    one.failed(0);
    return Math.round(one.wakeAtMs);
  });
  t.deepEqual(ends, [80, 120]);
});

test('a connection that ends at once is not dialed again at once', (t) => {
  const one = plan();
  t.is(one.ask(1_000), 'dial');
  one.connected();
  one.ended();
  t.is(one.ask(1_001), 'wait');
  t.false(one.isRefusing(1_001));
  t.is(one.wakeAtMs, 1_100);
  t.is(one.ask(1_100), 'dial');
});

test('full connections get another beside them, up to the most', (t) => {
  const one = plan(HALF, 2);
  t.is(one.ask(0), 'dial');
  one.connected();
  t.is(one.ask(500), 'dial');
  t.is(one.ask(500), 'wait');
  one.connected();
  t.is(one.ask(9_999), 'wait');
  t.is(one.wakeAtMs, Number.POSITIVE_INFINITY);
  one.ended();
  t.is(one.ask(9_999), 'dial');
  t.false(one.failed(10_000), 'the other connection is still there to wait for');
  t.is(one.ask(10_001), 'wait');
  t.false(one.isRefusing(10_001));
});
