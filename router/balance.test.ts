import test from 'ava';
import fc from 'fast-check';
import { type Loaded, lessLoadedOfTwo, stickyChoice } from './balance.ts';

const loads = (outstanding: readonly number[]): Loaded[] =>
  outstanding.map((count, at) => ({ id: `n${at}`, outstanding: count }));

test('the choice is one of the candidates, and never the most loaded of three or more', (t) => {
  const outstanding = fc.uniqueArray(fc.nat(1000), { minLength: 3, maxLength: 8 });
  const share = fc.double({ min: 0, max: 0.999_999, noNaN: true });
  const check = fc.property(outstanding, share, share, (counts, a, b) => {
    const shares = [a, b];
    const chosen = lessLoadedOfTwo(loads(counts), () => shares.shift() ?? 0);
    return chosen !== undefined && chosen.outstanding < Math.max(...counts);
  });
  t.notThrows(() => fc.assert(check, { numRuns: 500 }));
});

test('of none there is no choice, of one it is that', (t) => {
  t.is(lessLoadedOfTwo([], Math.random), undefined);
  t.is(lessLoadedOfTwo(loads([5]), () => 0.9)?.id, 'n0');
});

test('idle candidates are all chosen', (t) => {
  const seen = new Set<string | undefined>();
  for (let at = 0; at < 100; at++) {
    const shares = [(at % 10) / 10, Math.floor(at / 10) / 10];
    seen.add(lessLoadedOfTwo(loads([0, 0, 0, 0]), () => shares.shift() ?? 0)?.id);
  }
  t.is(seen.size, 4);
});

test('a key keeps its candidate; when one goes only its keys move, and they spread', (t) => {
  const all = loads([0, 0, 0, 0, 0]);
  const keys = Array.from({ length: 1000 }, (_, at) => `m\u0000${at}`);
  const before = keys.map((key) => stickyChoice(all, key)?.id);
  const shuffled = keys.map((key) => stickyChoice([...all].reverse(), key)?.id);
  t.deepEqual(shuffled, before);
  const after = keys.map((key) => stickyChoice(all.slice(1), key)?.id);
  keys.forEach((_, at) => {
    if (before[at] !== 'n0') t.is(after[at], before[at]);
  });
  for (const { id } of all) {
    const share = before.filter((chosen) => chosen === id).length;
    t.true(share > 120 && share < 300, `${id} has ${share} of 1000`);
  }
});
