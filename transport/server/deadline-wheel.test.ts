import test from 'ava';
import fc from 'fast-check';
import { DeadlineWheel, type Due, type Slot, TICK_MS } from './deadline-wheel.ts';

class Entry implements Due {
  readonly deadlineMs: number;
  slot: Slot | undefined = undefined;
  nextDue: Due | undefined = undefined;
  previousDue: Due | undefined = undefined;
  toldMs: number | undefined = undefined;
  onTold: (() => void) | undefined;

  constructor(deadlineMs: number, onTold?: () => void) {
    this.deadlineMs = deadlineMs;
    this.onTold = onTold;
  }

  onDue(nowMs: number): void {
    if (this.toldMs !== undefined) throw new Error('told twice');
    this.toldMs = nowMs;
    this.onTold?.();
  }
}

/** Moves on as a shell does: never later than the wheel asks for. */
function runTo(wheel: DeadlineWheel, endMs: number): void {
  while (wheel.atMs <= endMs) wheel.advance(wheel.atMs);
  wheel.advance(endMs);
}

test('every deadline is told once, not early, and late by a tick at most', (t) => {
  const delays = fc.oneof(
    fc.integer({ min: -10, max: 1000 }),
    fc.integer({ min: 0, max: 200_000 }),
    fc.double({ min: 0, max: 400 * 86_400_000, noNaN: true }),
  );
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1e10, noNaN: true }),
      fc.array(fc.tuple(delays, fc.integer({ min: 0, max: 5_000 }), fc.boolean())),
      (startMs, plan) => {
        const wheel = new DeadlineWheel(startMs);
        let nowMs = startMs;
        const kept: Entry[] = [];
        for (const [delayMs, passMs, isRemoved] of plan) {
          const entry = new Entry(nowMs + delayMs);
          wheel.add(entry, nowMs);
          nowMs += passMs;
          runTo(wheel, nowMs);
          if (isRemoved) wheel.remove(entry);
          if (!isRemoved || entry.toldMs !== undefined) kept.push(entry);
        }
        runTo(wheel, nowMs + 401 * 86_400_000);
        for (const { deadlineMs, toldMs } of kept) {
          if (toldMs === undefined || toldMs < deadlineMs) return false;
          if (toldMs > Math.max(deadlineMs, startMs) + 5_000 + 2 * TICK_MS) return false;
        }
        return wheel.size === 0;
      },
    ),
    { numRuns: 60 },
  );
  const wheel = new DeadlineWheel(0);
  const entries = Array.from({ length: 3_000 }, (_, at) => new Entry(at * 37.5));
  for (const entry of entries) wheel.add(entry, 0);
  runTo(wheel, 3_000 * 38);
  for (const { deadlineMs, toldMs } of entries) {
    t.true((toldMs ?? 0) >= deadlineMs && (toldMs ?? 0) <= deadlineMs + 2 * TICK_MS);
  }
});

test('who is told may take out others and add new ones', (t) => {
  const wheel = new DeadlineWheel(0);
  const [behind, added] = [new Entry(100), new Entry(101)];
  wheel.add(behind, 0);
  wheel.add(
    new Entry(100, () => {
      wheel.remove(behind);
      wheel.add(added, 100);
    }),
    0,
  );
  wheel.advance(100);
  t.is(behind.toldMs, undefined);
  t.is(wheel.size, 1);
  t.true(wheel.atMs > 100 && wheel.atMs <= 101 + TICK_MS);
  wheel.advance(wheel.atMs);
  t.is(added.toldMs, 104);
});

test('a wheel that stood empty for long goes on from now', (t) => {
  const wheel = new DeadlineWheel(0);
  t.is(wheel.atMs, Number.POSITIVE_INFINITY);
  const entry = new Entry(1e9 + 50);
  wheel.add(entry, 1e9);
  t.true(wheel.atMs > 1e9);
  wheel.advance(1e9 + 49);
  t.is(entry.toldMs, undefined);
  wheel.advance(1e9 + 52);
  t.is(entry.toldMs, 1e9 + 52);
  wheel.add(new Entry(Number.POSITIVE_INFINITY), 1e9);
  t.is(wheel.size, 0);
});
