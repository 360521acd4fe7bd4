// A short run of all that npm run fuzz runs, and proof that the fuzzing finds what is broken.
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { runTool } from '../support/outside-tools.ts';
import { runCampaign } from './campaign.ts';
import { targets as planted } from './planted-targets.ts';
import { targets } from './targets.ts';
import { runWatched } from './watched-run.ts';

/** Each target once at least: the same inputs at every run, so that it never fails by chance. */
const SEED = 1;

for (const target of targets) {
  test(`nothing is found in a short run: ${target.name}`, async (t) => {
    const { runs, failure } = await target.run({ seed: SEED, runs: target.runsPerBatch });
    t.is(failure?.report, undefined);
    t.is(runs, target.runsPerBatch);
  });
}

const name = (at: number): string => planted[at]?.name ?? '';

test('what breaks a promise or throws is found, made small, and found again', async (t) => {
  const tallies = await runCampaign({
    targets: planted.slice(0, 3),
    seed: SEED,
    durationMs: 20_000,
    nowMs: () => 0,
    onBatch: () => {},
  });
  const reports = tallies.map(({ failure }) => failure?.report ?? '');
  t.regex(reports[0] ?? '', /^there is a 13\ninput: \[\[13\]\]$/);
  t.regex(reports[1] ?? '', /^TypeError: more than three\n(?:.*\n)*input: \[\[0,0,0,0\]\]$/);
  t.regex(reports[2] ?? '', /^more than five\ninput: \[\[0,0,0,0,0,0\]\]$/);
  for (const [at, { failure }] of tallies.entries()) {
    const again = await planted[at]?.run({
      seed: failure?.seed ?? 0,
      runs: 1,
      path: failure?.path ?? '',
    });
    t.is(again?.failure?.report.split('\n').at(-1), failure?.report.split('\n').at(-1));
  }
});

test('all targets have their share of the time', async (t) => {
  let now = 0;
  const of = (share: number) => ({
    name: `share ${share}`,
    share,
    runsPerBatch: 1,
    run: async () => {
      now += 10;
      return { runs: 1, failure: undefined };
    },
  });
  const seeds: number[] = [];
  const tallies = await runCampaign({
    targets: [of(1), of(3)],
    seed: 7,
    durationMs: 400,
    nowMs: () => now,
    onBatch: (_target, seed) => seeds.push(seed),
  });
  t.deepEqual(
    tallies.map(({ spentMs }) => spentMs),
    [100, 300],
  );
  t.deepEqual(seeds.slice(0, 4), [7, 7, 8, 9]);
});

for (const [at, report, hangMs] of [
  [3, /^hangs: no end of a batch in 1000 ms$/, 1_000],
  [4, /^ends its process with SIGABRT:(.|\n)*heap out of memory/, 60_000],
] as const) {
  test(`what ${name(at)} is found with its seed`, async (t) => {
    const [tally] = await runWatched({
      module: new URL('./planted-targets.ts', import.meta.url),
      only: name(at),
      seed: SEED,
      path: undefined,
      durationMs: 60_000,
      hangMs,
      heapMb: 64,
    });
    t.is(tally?.target, name(at));
    t.is(tally?.failure?.seed, SEED);
    t.regex(tally?.failure?.report ?? '', report);
  });
}

const FUZZ = fileURLToPath(new URL('./fuzz.ts', import.meta.url));
const fuzz = (...args: string[]) => runTool(process.execPath, [FUZZ, ...args], 60_000);

test('the command tells what it ran, and what there is to run', async (t) => {
  const ran = await fuzz('--seconds', '0.5', '--only', 'hpack-blocks', '--seed', '5');
  t.is(ran.code, 0, ran.output);
  t.regex(ran.output, /^hpack-blocks +\d+ +\d+$/m);
  t.regex(ran.output, /nothing found/);
  const unknown = await fuzz('--only', 'nothing');
  t.is(unknown.code, 2);
  t.regex(unknown.output, /no target nothing: there are hpack-blocks, /);
});
