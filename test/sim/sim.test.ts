// A short run of the simulation: npm run sim is the long one.
import test from 'ava';
import { runSeed } from './run.ts';
import { runSeeds } from './seed-pool.ts';

const SEEDS = 40;
const MIN_FAULTS = 5;
const MIN_VIRTUAL_MS = 60_000;

test('whatever a seed does to the cluster, no rule is broken', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const { breaches, faults, virtualMs, calls } = await runSeed({ seed });
    t.deepEqual(breaches, [], `npm run sim -- --seed ${seed} --trace`);
    t.true(faults.length >= MIN_FAULTS);
    t.true(virtualMs >= MIN_VIRTUAL_MS);
    t.true(calls.ok > calls.failed, 'the cluster serves');
  }
});

test('the same seed does the same, to the last event', async (t) => {
  const lines: string[] = [];
  const first = await runSeed({ seed: 7, write: (line) => lines.push(line) });
  const again: string[] = [];
  const second = await runSeed({ seed: 7, write: (line) => again.push(line) });
  t.true(lines.length > 100);
  t.is(
    lines.find((line, at) => line !== again[at]),
    undefined,
  );
  t.is(lines.length, again.length);
  t.deepEqual(first, second);
  t.not((await runSeed({ seed: 8 })).hash, first.hash);
});

test('a seed does in another process what it does here', async (t) => {
  const hashes = new Map<number, string>();
  await runSeeds({
    ...{ from: 3, count: 2, workers: 2 },
    onResult: ({ seed, hash }) => hashes.set(seed, hash) !== undefined,
  });
  for (const [seed, hash] of hashes) t.is((await runSeed({ seed })).hash, hash);
  t.is(hashes.size, 2);
});
