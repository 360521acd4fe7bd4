import test from 'ava';
import fc from 'fast-check';
import HashRing from 'hashring';
import { createRing, RING_CANDIDATES, ringCache, VIRTUAL_NODES } from './ring.ts';

const nodes = (count: number): string[] => Array.from({ length: count }, (_, at) => `node-${at}`);
const models = Array.from({ length: 300 }, (_, at) => `model-${at}`);

test('candidates are distinct nodes of the ring, the same whatever order they came in', (t) => {
  fc.assert(
    fc.property(fc.shuffledSubarray(nodes(12), { minLength: 1 }), fc.nat(299), (ids, at) => {
      const model = `model-${at}`;
      const found = createRing(ids).candidates(model);
      t.is(found.length, Math.min(ids.length, RING_CANDIDATES));
      t.is(new Set(found).size, found.length);
      t.true(found.every((id) => ids.includes(id)));
      t.deepEqual(createRing([...ids].reverse()).candidates(model), found);
    }),
    { numRuns: 25 },
  );
});

test('a node that leaves changes only the homes it was, each to its next candidate', (t) => {
  const before = createRing(nodes(8));
  const after = createRing(nodes(8).filter((id) => id !== 'node-3'));
  let moved = 0;
  for (const model of models) {
    const [home, next] = before.candidates(model);
    t.is(after.candidates(model)[0], home === 'node-3' ? next : home);
    if (home === 'node-3') moved += 1;
  }
  t.true(moved > 0);
});

test('homes spread over the nodes', (t) => {
  const ring = createRing(nodes(4));
  const counts = new Map<string, number>();
  for (const model of models) {
    const home = ring.candidates(model)[0] ?? '';
    counts.set(home, (counts.get(home) ?? 0) + 1);
  }
  for (const count of counts.values()) t.true(count > 30 && count < 150);
});

test('an empty ring has no candidates; a ring of the same members is not made again', (t) => {
  t.deepEqual(createRing([]).candidates('m'), []);
  const ringOf = ringCache();
  const ring = ringOf(['b', 'a']);
  t.is(ringOf(['a', 'b']), ring);
  t.not(ringOf(['a']), ring);
});

test('candidates are those that the package hashring finds', (t) => {
  for (const count of [1, 3, 40]) {
    const ids = nodes(count);
    const other = new HashRing(
      Object.fromEntries(ids.map((id) => [id, { vnodes: VIRTUAL_NODES }])),
    );
    const ring = createRing(ids);
    for (const model of models) {
      t.deepEqual(ring.candidates(model), other.range(model, Math.min(RING_CANDIDATES, count)));
    }
  }
});

test('a ring made from the one before answers as one made from nothing', (t) => {
  const changes = fc.array(fc.array(fc.nat(39), { minLength: 1, maxLength: 3 }), { maxLength: 6 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), changes, (count, toggles) => {
      const ringOf = ringCache();
      const live = new Set(nodes(count));
      for (const change of [[], ...toggles]) {
        for (const at of change) if (!live.delete(`node-${at}`)) live.add(`node-${at}`);
        const ring = ringOf([...live]);
        const fresh = createRing([...live]);
        t.deepEqual(ring.nodeIds, fresh.nodeIds);
        // The first half is asked each time, the rest only on the way.
        const some = models.slice(0, change.length % 2 === 0 ? 150 : 300);
        const wrong = some.filter(
          (model) => ring.candidates(model).join() !== fresh.candidates(model).join(),
        );
        t.deepEqual(wrong, []);
      }
    }),
    { numRuns: 30 },
  );
});
