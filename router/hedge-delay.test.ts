import test from 'ava';
import fc from 'fast-check';
import { CALLS_BEFORE, HedgeDelays, MIN_DELAY_MS } from './hedge-delay.ts';

/** Numbers in [0, 1), the same for the same seed. */
function* shares(seed: number): Generator<number, never> {
  for (let state = seed | 1; ; ) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    yield ((state ^ (state >>> 12)) >>> 0) / 2 ** 32;
  }
}

test('nothing is known before enough calls, and of other models', (t) => {
  const delays = new HedgeDelays();
  for (let call = 1; call < CALLS_BEFORE; call += 1) delays.note('m', 5);
  t.is(delays.delayMs('m'), Number.POSITIVE_INFINITY);
  delays.note('m', 5);
  t.true(delays.delayMs('m') < 6);
  t.is(delays.delayMs('other'), Number.POSITIVE_INFINITY);
});

test('about one call in twenty takes longer, whatever the model does', (t) => {
  const worlds = fc.record({
    seed: fc.integer(),
    baseMs: fc.double({ min: 2, max: 500, noNaN: true }),
    tail: fc.double({ min: 1, max: 20, noNaN: true }),
  });
  t.notThrows(() =>
    fc.assert(
      fc.property(worlds, ({ seed, baseMs, tail }) => {
        const delays = new HedgeDelays();
        const random = shares(seed);
        let longer = 0;
        for (let call = 0; call < 6_000; call += 1) {
          const share = random.next().value;
          const latencyMs = baseMs * (1 + share * 0.5) * (share > 0.9 ? tail : 1);
          if (call >= 2_000 && latencyMs > delays.delayMs('m')) longer += 1;
          delays.note('m', latencyMs);
        }
        return longer / 4_000 < 0.12;
      }),
      { numRuns: 30 },
    ),
  );
});

test('a fast model waits for the least there is', (t) => {
  const delays = new HedgeDelays();
  for (let call = 0; call < 1_000; call += 1) delays.note('m', 0.1);
  t.is(delays.delayMs('m'), MIN_DELAY_MS);
});
