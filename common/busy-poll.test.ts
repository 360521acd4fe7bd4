import test from 'ava';
import fc from 'fast-check';
import { BusyPoll } from './busy-poll.ts';

const BUDGET_US = 64;
const LOOK_US = 2;

/** A thread that handles an event at once, and sleeps until the next one unless it looks for it. */
function thread() {
  let nowUs = 0;
  let lookUs = 0;
  let looks = 0;
  let next: (() => void) | undefined;
  const poll = new BusyPoll({
    nowMs: () => nowUs / 1_000,
    nextTurn: (callback) => {
      next = callback;
    },
  });
  poll.setBudget(BUDGET_US);
  return {
    poll,
    /** An event so long after the last one was handled. */
    event(afterUs: number): void {
      const atUs = nowUs + afterUs;
      while (next !== undefined && nowUs + LOOK_US <= atUs) {
        const look = next;
        next = undefined;
        nowUs += LOOK_US;
        lookUs += LOOK_US;
        looks += 1;
        look();
      }
      nowUs = atUs;
      poll.began();
      poll.ended();
    },
    /** Time spent looking since it was last asked. */
    looked(): number {
      const told = lookUs;
      lookUs = 0;
      return told;
    },
    isLooking: () => next !== undefined,
    looks: () => looks,
  };
}

function repeat(times: number, work: () => void): void {
  for (let at = 0; at < times; at++) work();
}

test('a thread whose events come one right after the other looks for the next one', (t) => {
  const { event, looked, isLooking } = thread();
  repeat(10, () => event(30));
  t.is(looked(), 0, 'not before it knows');
  repeat(100, () => event(30));
  t.true(isLooking());
  looked();
  repeat(100, () => event(30));
  t.true(looked() >= 100 * 28, 'all pauses are looked into');
});

test('a thread whose events come now and then sleeps', (t) => {
  const { event, looks } = thread();
  repeat(1_000, () => event(1_000));
  t.is(looks(), 0);
});

test('who looks in vain sleeps again, after the budget', (t) => {
  const { event, looked, isLooking } = thread();
  repeat(50, () => event(30));
  t.true(isLooking());
  looked();
  event(10_000);
  t.true(looked() <= BUDGET_US + LOOK_US);
  repeat(3, () => event(10_000));
  t.true(isLooking(), 'four in vain are borne');
  event(10_000);
  t.false(isLooking(), 'five are enough');
});

test('a pause that was slept through may be longer, by the time it takes to wake up', (t) => {
  const { event, looks } = thread();
  repeat(50, () => event(BUDGET_US * 2 - 1));
  t.true(looks() > 0, 'it is tried');
  const other = thread();
  repeat(50, () => other.event(BUDGET_US * 2 + 1));
  t.is(other.looks(), 0);
});

test('without a budget it never looks', (t) => {
  const { poll, event, looks } = thread();
  poll.setBudget(0);
  repeat(100, () => event(1));
  t.is(looks(), 0);
});

test('an event that is being handled is no pause', (t) => {
  const { poll, event, isLooking } = thread();
  repeat(50, () => event(30));
  poll.began();
  t.true(isLooking());
  event(0);
  t.true(isLooking());
});

/** @param share of the pauses that are short */
function mixture(random: () => number, share: number): number {
  return random() < share ? 20 : 2_000;
}

test('what it looks into in vain is little beside what it sleeps through', (t) => {
  const shares = fc.double({ min: 0, max: 0.95, noNaN: true });
  const seeds = fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }));
  fc.assert(
    fc.property(shares, seeds, (share, stream) => {
      const { event, looked } = thread();
      let passedUs = 0;
      let shortUs = 0;
      const random = (): number => stream.next().value ?? 0;
      repeat(2_000, () => {
        const us = mixture(random, share);
        passedUs += us;
        if (us <= BUDGET_US) shortUs += us;
        event(us);
      });
      t.true(looked() <= shortUs + 0.05 * passedUs + 40 * BUDGET_US);
    }),
    { numRuns: 50 },
  );
});

test('pauses just too long for it are tried less and less often', (t) => {
  const { event, looked } = thread();
  // Short enough to be tried, too long to be met.
  const us = BUDGET_US * 1.5;
  repeat(2_000, () => event(us));
  looked();
  repeat(10_000, () => event(us));
  t.true(looked() < 0.02 * 10_000 * us);
});
