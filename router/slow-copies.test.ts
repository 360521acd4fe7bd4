import test from 'ava';
import { MIN_SAMPLES, OUTLYING_SWEEPS, SAMPLED, SlowCopies } from './slow-copies.ts';

const ENOUGH = MIN_SAMPLES * SAMPLED;

/** Calls of a second: so many to each, with these latencies. */
function second(copies: SlowCopies, latenciesMs: Readonly<Record<string, number>>, calls = ENOUGH) {
  // One node after the other, or the samples would all be of the same one.
  for (const [node, latencyMs] of Object.entries(latenciesMs)) {
    for (let at = 0; at < calls; at += 1) copies.note('m', node, latencyMs);
  }
  return copies.sweep();
}

test('a copy that takes far longer than the others for several looks is told, once', (t) => {
  const copies = new SlowCopies();
  const latencies = { a: 4, b: 5, c: 300 };
  for (let look = 1; look < OUTLYING_SWEEPS; look += 1) t.deepEqual(second(copies, latencies), []);
  t.deepEqual(second(copies, latencies), [{ model: 'm', node: 'c' }]);
  t.deepEqual(second(copies, latencies), [], 'it begins anew');
});

test('a look without it in between begins anew', (t) => {
  const copies = new SlowCopies();
  for (let round = 0; round < 5; round += 1) {
    t.deepEqual(second(copies, { a: 4, b: 300 }), []);
    t.deepEqual(second(copies, { a: 4, b: 5 }), []);
  }
});

for (const [what, latencies, calls] of [
  ['jitter of fast models', { a: 0.2, b: 0.2, c: 15 }, ENOUGH],
  ['somewhat slower', { a: 100, b: 100, c: 400 }, ENOUGH],
  ['the only copy', { a: 5_000 }, ENOUGH],
  ['all of them', { a: 5_000, b: 5_000 }, ENOUGH],
  ['too few calls to tell', { a: 4, b: 5, c: 300 }, SAMPLED],
] as const) {
  test(`not outlying: ${what}`, (t) => {
    const copies = new SlowCopies();
    for (let look = 0; look < 2 * OUTLYING_SWEEPS; look += 1) {
      t.deepEqual(second(copies, latencies, calls), []);
    }
  });
}
