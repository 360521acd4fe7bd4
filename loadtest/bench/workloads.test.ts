import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { skip } from '../../test/support/skip.ts';
import { figureAt, P50, RATE, ratioAt, runContest } from '../measure/closed-contest.ts';
import { onStage, QUICK_PLAN } from '../measure/stage.ts';
import { GRPC_JS, OURS, startEchos } from './contestants.ts';
import { echoMessage } from './echo.ts';
import { OPEN_LOOP } from './open-loop.ts';
import { pageOf } from './page.ts';
import { STEADY } from './steady.ts';
import { WORKLOADS } from './workloads.ts';

const TINY_PLAN = {
  ...QUICK_PLAN,
  secondsPerRound: 0.02,
  checkedCalls: 3,
  firstCalls: 300,
  openLoopSeconds: 0.1,
  steadySeconds: 0.3,
  connections: 20,
};
const hasTools = ['h2load', 'taskset'].every(
  (tool) => spawnSync(tool, ['--version']).error === undefined,
);

test('names are told apart, and a page says what did not run', (t) => {
  t.is(new Set(WORKLOADS.map(({ name }) => name)).size, WORKLOADS.length);
  const played = WORKLOADS.map((workload) => ({ workload, outcome: { failure: 'no client' } }));
  const page = pageOf(QUICK_PLAN, ['a machine'], played);
  t.is(page.match(/^Did not run: no client$/gm)?.length, WORKLOADS.length);
});

test('a contest of two servers: checked, counted on both ends, compared', async (t) => {
  if (!hasTools || cpus().length < 2) return skip(t, 'no h2load or taskset, or a single core');
  const ratio = await onStage(TINY_PLAN, async (stage) => {
    const options = { message: echoMessage(80), hasTls: true };
    const { sides } = await startEchos(stage, [OURS, GRPC_JS], options);
    const plan = { ...stage.roundsPlan, firstCalls: 20, hasPercentiles: true };
    return ratioAt(await runContest(sides, 2, [4], plan), 4, OURS, GRPC_JS, RATE);
  });
  t.true((ratio?.median ?? 0) > 0);
});

test('rounds at a rate are an open loop: the calls that were meant, and latency', async (t) => {
  if (!hasTools || cpus().length < 2) return skip(t, 'no h2load or taskset, or a single core');
  const contest = await onStage(TINY_PLAN, async (stage) => {
    const { sides } = await startEchos(stage, [OURS, GRPC_JS], { message: echoMessage(80) });
    const plan = { ...stage.roundsPlan, callsPerSecond: 500, secondsPerRound: 0.2 };
    return runContest(sides, 2, [4], plan);
  });
  for (const name of [OURS, GRPC_JS]) {
    const rate = figureAt(contest, 4, name, RATE)?.median ?? 0;
    t.true(rate > 200 && rate < 1_000, `${name}: ${rate} calls/s`);
    t.true((figureAt(contest, 4, name, P50)?.median ?? 0) > 0);
  }
});

test('a server that counts other than the client is found out', async (t) => {
  if (!hasTools || cpus().length < 2) return skip(t, 'no h2load or taskset, or a single core');
  const played = onStage(TINY_PLAN, async (stage) => {
    const { sides } = await startEchos(stage, [GRPC_JS], { message: echoMessage(80) });
    let extra = 0;
    const wrong = sides.map((side) => ({
      ...side,
      calls: async () => {
        extra += 1;
        return (await side.calls()) + extra;
      },
    }));
    await runContest(wrong, 1, [1], { ...stage.roundsPlan, firstCalls: 10 });
  });
  await t.throwsAsync(played, { message: /the server answered 11 calls, the client saw 10/ });
});

test('the open loops run, and are judged', async (t) => {
  if (!hasTools || cpus().length < 2) return skip(t, 'no h2load or taskset, or a single core');
  for (const workload of [OPEN_LOOP, STEADY]) {
    const { targets } = await onStage(TINY_PLAN, (stage) => workload.run(stage));
    t.true(
      targets.every(({ isMet }) => isMet !== undefined),
      workload.name,
    );
  }
});

test('the command: a page and figures where they are asked for', async (t) => {
  if (!hasTools || cpus().length < 2) return skip(t, 'no h2load or taskset, or a single core');
  const folder = await mkdtemp(join(tmpdir(), 'torus-bench-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const [page, json] = [join(folder, 'page.md'), join(folder, 'figures.json')];
  const bench = fileURLToPath(new URL('../bench.ts', import.meta.url));
  const flags = ['--quick', '--only', 'connections', '--page', page, '--json', json];
  const { stdout } = await promisify(execFile)(process.execPath, [bench, ...flags]);
  t.true(stdout.includes(`written: ${page}`));
  t.regex(await readFile(page, 'utf8'), /^# Performance\n\nMachine:\n- \d+ cores/);
  const { results } = JSON.parse(await readFile(json, 'utf8'));
  t.like(results[0], { name: 'connections' });
});
