import test from 'ava';
import { MIN_RETRIES, RetryBudget } from './retry-budget.ts';

function live(calls: number): RetryBudget {
  const budget = new RetryBudget();
  for (let call = 0; call < calls; call += 1) budget.began();
  return budget;
}

function granted(budget: RetryBudget): number {
  let count = 0;
  while (budget.tryRetry()) count += 1;
  return count;
}

test('a fifth of the live calls may be retries, and at least three', (t) => {
  t.is(granted(live(0)), MIN_RETRIES);
  t.is(granted(live(10)), MIN_RETRIES);
  t.is(granted(live(100)), 20);
});

test('a retry that has ended makes room for another', (t) => {
  const budget = live(1);
  granted(budget);
  budget.began();
  budget.ended(true);
  t.is(granted(budget), 1);
});
