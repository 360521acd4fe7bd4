import test from 'ava';
import { entry } from '../test/support/small-cluster.ts';
import { movedCopies } from './moved-copies.ts';

test('moved is what came in place of what left, not what is more or new', (t) => {
  const before = ['m', 'n', 'o'].map((name) => entry(name, 1, { nodes: ['a', 'b'] }));
  const [m, n] = before;
  const now = (nodes: readonly string[]) => [
    ...before.slice(0, 2),
    entry('o', 1, { nodes }),
    entry('p', 1, { nodes: ['a'] }),
  ];
  t.is(movedCopies(before, [...before]), 0);
  t.is(movedCopies(before, now(['a', 'c'])), 1);
  t.is(movedCopies(before, now(['c', 'd'])), 2);
  t.is(movedCopies(before, now(['a', 'b', 'c'])), 0);
  t.is(movedCopies(before, now(['a'])), 0);
  t.is(
    movedCopies(
      [],
      [m, n].flatMap((one) => one ?? []),
    ),
    0,
  );
});
