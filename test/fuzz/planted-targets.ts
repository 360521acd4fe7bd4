// Targets that are broken on purpose: the test of the fuzzing itself must find each of them.
import fc from 'fast-check';
import { pureTarget, waitingTarget } from './fuzz-target.ts';

const numbers = fc.array(fc.nat({ max: 100 }), { maxLength: 20 });
const base = { runsPerBatch: 200, input: numbers };

export const targets = [
  pureTarget({
    ...base,
    name: 'breaks-a-promise',
    judge: (all) => (all.includes(13) ? 'there is a 13' : undefined),
  }),
  pureTarget({
    ...base,
    name: 'throws',
    judge: (all) => {
      if (all.length > 3) throw new TypeError('more than three');
      return undefined;
    },
  }),
  waitingTarget({
    ...base,
    name: 'waits-and-breaks',
    judge: async (all) => (all.length > 5 ? 'more than five' : undefined),
  }),
  pureTarget({
    ...base,
    name: 'hangs',
    judge: (all) => {
      while (all.length > 3);
      return undefined;
    },
  }),
  pureTarget({
    ...base,
    name: 'fills-the-heap',
    judge: (all) => {
      const kept: number[][] = [];
      while (all.length > 3) kept.push(new Array<number>(10_000).fill(1));
      return undefined;
    },
  }),
];
