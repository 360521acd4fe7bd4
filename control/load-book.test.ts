import test from 'ava';
import fc from 'fast-check';
import { MAX_TRAFFIC_RANK, type ModelLoad } from '../registry/registry.ts';
import { entry } from '../test/support/small-cluster.ts';
import { FALL_MS, HIGH_UTILISATION, LoadBook, TARGET_UTILISATION } from './load-book.ts';

const load = (callsPerSecond: number, serviceMs: number, model = 'm'): ModelLoad => ({
  ...{ model, version: 1, callsPerSecond, serviceMs, queued: 0 },
});
/** Milliseconds between two looks. */
const LOOK_MS = 10_000;

test('copies are arrival rate x service time over the target, of all nodes together', (t) => {
  const book = new LoadBook();
  book.update([[load(300, 4)], [load(100, 4), load(1, 1, 'other')]], 0);
  // 400 calls/s x 4 ms keep 1.6 copies busy.
  t.is(book.get('m')?.copies, Math.ceil(1.6 / TARGET_UTILISATION));
  t.is(book.get('other')?.copies, 1);
  t.is(book.get('nobody'), undefined);
});

test('between the target and the high mark nothing changes', (t) => {
  const book = new LoadBook();
  book.update([[load(100, 10 * (HIGH_UTILISATION - 0.01))]], 0);
  t.is(book.get('m')?.copies, 1);
  book.update([[load(100, 10 * (HIGH_UTILISATION + 0.01))]], LOOK_MS);
  t.is(book.get('m')?.copies, 2);
  const size = book.get('m');
  book.update([[load(100, 10 * (HIGH_UTILISATION - 0.01))]], 2 * LOOK_MS);
  t.is(book.get('m'), size, 'the same object');
});

test('fewer copies only when fewer were enough for long, and then the most of that time', (t) => {
  const book = new LoadBook();
  book.update([[load(1_000, 5)]], 0);
  const most = book.get('m')?.copies;
  t.is(most, 9);
  let nowMs = 0;
  for (; nowMs < FALL_MS; nowMs += LOOK_MS) {
    book.update([[load(nowMs === 5 * LOOK_MS ? 400 : 100, 5)]], nowMs);
    t.is(book.get('m')?.copies, most);
  }
  book.update([[load(100, 5)]], nowMs);
  t.is(book.get('m')?.copies, 4, '400 x 5 ms were seen');
  book.update([[load(1_000, 5)]], nowMs + LOOK_MS);
  t.is(book.get('m')?.copies, most, 'up at once');
  for (let at = 0; at < 4 * FALL_MS; at += LOOK_MS) book.update([], nowMs + 2 * LOOK_MS + at);
  t.is(book.get('m'), undefined, 'forgotten');
});

test('ranks grow with each doubling and never past the last', (t) => {
  const book = new LoadBook();
  const rank = (calls: number) => {
    book.seed([], 0);
    book.update([[load(calls, 0)]], 0);
    return book.get('m')?.trafficRank ?? 0;
  };
  t.deepEqual([0, 0.06, 0.0625, 0.12, 0.125, 0.9, 1, 2, 1e30].map(rank), [
    ...[0, 0, 1, 1, 2, 4, 5, 6],
    MAX_TRAFFIC_RANK,
  ]);
});

test('a new leader begins with what is assigned, and lets it fall as late', (t) => {
  const book = new LoadBook();
  const nodes = ['a', 'b', 'c'];
  book.seed([entry('m', 1, { nodes, trafficRank: 4 }), entry('n', 1, { nodes: ['a'] })], 1_000);
  book.update([], 1_000 + LOOK_MS);
  t.deepEqual(book.get('m'), { copies: 3, trafficRank: 4 });
  t.is(book.get('n'), undefined);
  book.update([], 1_000 + FALL_MS);
  t.is(book.get('m'), undefined);
});

test('whatever is told: never below what keeps copies under the high mark, no flapping', (t) => {
  const step = fc.record({ calls: fc.nat(5_000), serviceMs: fc.nat(20), pauseMs: fc.nat(60_000) });
  const check = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const book = new LoadBook();
    let [nowMs, copies, rose] = [0, 1, 0];
    for (const { calls, serviceMs, pauseMs } of steps) {
      nowMs += pauseMs;
      book.update([[load(calls, serviceMs)]], nowMs);
      const now = book.get('m')?.copies ?? 1;
      t.true((calls * serviceMs) / 1_000 <= now * HIGH_UTILISATION);
      if (now < copies) t.true(nowMs - rose >= FALL_MS);
      if (now > copies) rose = nowMs;
      copies = now;
    }
  });
  fc.assert(check, { numRuns: 300 });
});

test('without an assignment the ranks of before are known yet', (t) => {
  const book = new LoadBook();
  book.seed([], 0, new Map([['m', 3]]));
  t.deepEqual(book.get('m'), { copies: 1, trafficRank: 3 });
  book.update([], 0);
  t.is(book.get('m')?.trafficRank, 3, 'nobody has called since');
});
