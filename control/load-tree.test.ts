import test from 'ava';
import fc from 'fast-check';
import { LoadTree } from './load-tree.ts';

const arbitrarySites = fc.array(
  fc.record({ load: fc.nat(20), room: fc.nat(20), isWanted: fc.boolean() }),
  { minLength: 1, maxLength: 40 },
);

test('finds a least loaded site of those with room that are wanted, as a look at all does', (t) => {
  fc.assert(
    fc.property(arbitrarySites, fc.nat(20), fc.nat(20), (sites, room, below) => {
      const tree = new LoadTree(sites.length);
      // Set twice: what was before is to be forgotten.
      for (const [at] of sites.entries()) tree.set(at, 0, 1_000);
      for (const [at, site] of sites.entries()) tree.set(at, site.load, site.room);
      const open = sites.filter((one) => one.isWanted && one.room >= room && one.load < below);
      const found = tree.least(below, room, (at) => sites[at]?.isWanted === true);
      t.is(found >= 0, open.length > 0);
      if (found < 0) return;
      t.true(open.includes(sites[found] ?? { load: 0, room: 0, isWanted: false }));
      t.is(sites[found]?.load, Math.min(...open.map(({ load }) => load)));
    }),
    { numRuns: 300 },
  );
});

test('without sites there is none', (t) => {
  t.is(
    new LoadTree(0).least(Number.POSITIVE_INFINITY, 0, () => true),
    -1,
  );
});
