import test from 'ava';
import { ratios, spread, spreadText } from './comparison.ts';

interface Round {
  readonly rate: number;
  readonly cpuUs: number;
}

const rounds = (...rates: number[]): Round[] => rates.map((rate) => ({ rate, cpuUs: Number.NaN }));

test('ratios are taken round by round, not of the medians', (t) => {
  const found = ratios(rounds(10, 40, 30), rounds(20, 20, 10), (one) => one.rate);
  t.deepEqual(found, { median: 2, least: 0.5, most: 3 });
});

test('a figure that could not be read is not measured, never guessed', (t) => {
  const theirs = [{ rate: 1, cpuUs: 5 }];
  t.is(spreadText(ratios(rounds(1), theirs, (one) => one.cpuUs)), 'not measured');
  t.is(spreadText(ratios(rounds(1), undefined, (one) => one.rate)), 'not measured');
});

test('the median of an even number of rounds is one that was measured', (t) => {
  t.is(spread([4, 1, 3, 2]).median, 2);
  t.is(spreadText(spread([1, 2, 3])), '2.00 (1.00-3.00)');
});
