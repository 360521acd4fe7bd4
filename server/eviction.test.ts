import test from 'ava';
import fc from 'fast-check';
import { nextToLeave, type Resident } from './eviction.ts';

test('the longest unused leaves, none in use, and none in vain', (t) => {
  const resident: fc.Arbitrary<Resident> = fc.record({
    sizeBytes: fc.integer({ min: 1, max: 9 }),
    users: fc.integer({ min: 0, max: 2 }),
    lastUsed: fc.integer({ min: 0, max: 99 }),
  });
  const property = fc.property(
    fc.array(resident, { maxLength: 8 }),
    fc.integer({ min: 1, max: 40 }),
    (residents, bytes) => {
      const held = new Map(residents.map((one, index) => [String(index), one]));
      const unused = residents.filter(({ users }) => users === 0);
      const evictable = unused.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      const left = held.get(nextToLeave(held, bytes) ?? '');
      t.is(left !== undefined, evictable >= bytes);
      if (left === undefined) return;
      t.is(left.users, 0);
      t.true(unused.every(({ lastUsed }) => lastUsed >= left.lastUsed));
    },
  );
  fc.assert(property);
});
