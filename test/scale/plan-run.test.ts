import test from 'ava';
import { LOAD_BOUND } from '../../control/placement.ts';
import { measurePlans } from './plan-run.ts';

test('what moves when a node leaves or joins is close to the least that must', (t) => {
  const { full, join, leave } = measurePlans(30, 2_000);
  t.is(full.movedShare, 1);
  t.true(full.peak <= Math.max(LOAD_BOUND, full.largest), JSON.stringify(full));
  t.true(leave.leastShare > 0.02 && leave.leastShare < 0.05, JSON.stringify(leave));
  t.true(leave.movedShare <= 1.3 * leave.leastShare, JSON.stringify(leave));
  // A join brings nodes back under the bound and no more: far from an even share.
  t.true(join.movedShare <= 1.3 * join.leastShare + 0.002, JSON.stringify(join));
});
