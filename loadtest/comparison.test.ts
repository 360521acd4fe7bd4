import test from 'ava';
import { type Round, ratios, spread, spreadText } from './comparison.ts';

const round = (okPerSecond: number, cpuUsPerCall?: number): Round => ({
  okPerSecond,
  p50Us: 1,
  p99Us: 2,
  cpuUsPerCall,
});

test('ratios are taken round by round, not of the medians', (t) => {
  const ours = [round(10), round(40), round(30)];
  const theirs = [round(20), round(20), round(10)];
  t.deepEqual(
    ratios(ours, theirs, (one) => one.okPerSecond),
    { median: 2, least: 0.5, most: 3 },
  );
});

test('a figure that could not be read is not measured, never guessed', (t) => {
  const found = ratios([round(1)], [round(1, 5)], (one) => one.cpuUsPerCall);
  t.is(spreadText(found), 'not measured');
});

test('the median of an even number of rounds is one that was measured', (t) => {
  t.is(spread([4, 1, 3, 2]).median, 2);
  t.is(spreadText(spread([1, 2, 3])), '2.00 (1.00-3.00)');
});
