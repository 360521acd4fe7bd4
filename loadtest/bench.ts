// npm run bench: our servers beside their rivals in one run, workload by workload, each figure with
// its target. Prints as it goes; a whole run also writes docs/performance.md, any run the page that
// --page names.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { z } from 'zod';
import { outliveReaders } from '../cli/client/readers.ts';
import { Code, failedPrecondition, invalidArgument, statusOf } from '../common/status.ts';
import { type Played, pageOf, sectionOf } from './bench/page.ts';
import { WORKLOADS } from './bench/workloads.ts';
import { describeMachine } from './measure/machine.ts';
import { type BenchPlan, FULL_PLAN, onStage, QUICK_PLAN } from './measure/stage.ts';
import type { Workload } from './measure/workload.ts';
import { buildRivals } from './rivals/build.ts';

const EXIT_USAGE = 64;
/** Where Debian has them. */
const TOOLS = { h2load: 'nghttp2-client', taskset: 'util-linux' };
const NAMES = WORKLOADS.map(({ name }) => name);

const schema = z.object({
  only: z
    .string()
    .transform((names) => names.split(','))
    .pipe(z.array(z.enum(NAMES)))
    .optional(),
  rounds: z.coerce.number().int().min(1).max(100).optional(),
  seconds: z.coerce.number().min(0.05).max(60).optional(),
  serverCore: z.coerce.number().int().min(0).optional(),
  clientCore: z.coerce.number().int().min(0).optional(),
  quick: z.boolean().default(false),
  page: z.string().optional(),
  json: z.string().optional(),
});

const program = new Command('bench')
  .description('Measure our servers beside their rivals, and judge each target.')
  .option('--only <names>', `these workloads: ${NAMES.join(',')}`)
  .option('--rounds <n>', 'rounds of each server (default 7)')
  .option('--seconds <s>', 'of each round (default 1)')
  .option('--server-core <n>', 'of servers (default 1)')
  .option('--client-core <n>', 'of clients, no sibling thread of the other (default 0)')
  .option('--quick', 'one short round of each: whether it works, not how fast it is')
  .option('--page <file>', 'write the page there, whatever was run')
  .option('--json <file>', 'write the results there, for programs')
  .showHelpAfterError()
  .exitOverride();

interface Settings {
  readonly workloads: readonly Workload[];
  readonly plan: BenchPlan;
  readonly page: PagePlan;
  readonly jsonFile: string | undefined;
}

/** Where the page goes; undefined: nowhere. Said before the time is spent, and behind them. */
interface PagePlan {
  readonly file: string | undefined;
  readonly text: string;
}

/** Figures of a short run, or of a part of the workloads, must not replace those of a whole one. */
function pagePlan(page: string | undefined, isWhole: boolean): PagePlan {
  if (page !== undefined) return { file: page, text: `page: ${page}` };
  const file = fileURLToPath(new URL('../docs/performance.md', import.meta.url));
  if (isWhole) return { file, text: 'page: docs/performance.md' };
  const { rounds, secondsPerRound } = FULL_PLAN;
  const need = `all workloads, at least ${rounds} rounds of ${secondsPerRound} s`;
  return { file: undefined, text: `page: none, docs/performance.md takes ${need}; see --page` };
}

function readSettings(flags: unknown): Settings {
  const parsed = schema.safeParse(flags);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      ({ path, message }) => `--${path.join('.')}: ${message}`,
    );
    throw invalidArgument(problems.join('\n'));
  }
  const { only, quick, json, page, rounds, seconds, serverCore, clientCore } = parsed.data;
  const base = quick ? QUICK_PLAN : FULL_PLAN;
  const isShort =
    (rounds ?? base.rounds) < FULL_PLAN.rounds ||
    (seconds ?? base.secondsPerRound) < FULL_PLAN.secondsPerRound;
  return {
    workloads: WORKLOADS.filter(({ name }) => only?.includes(name) ?? true),
    plan: {
      ...base,
      ...(rounds !== undefined && { rounds }),
      ...(seconds !== undefined && { secondsPerRound: seconds }),
      ...(serverCore !== undefined && { serverCore }),
      ...(clientCore !== undefined && { clientCore }),
    },
    page: pagePlan(page, only === undefined && !quick && !isShort),
    jsonFile: json,
  };
}

/** @throws FAILED_PRECONDITION when a tool or a core is missing that no workload can do without. */
function checkTools({ serverCore, clientCore }: BenchPlan): void {
  const problems = [];
  if (serverCore === clientCore || Math.max(serverCore, clientCore) >= cpus().length) {
    problems.push('the bench needs 2 cores: one serves, the other calls');
  }
  for (const [tool, from] of Object.entries(TOOLS)) {
    const found = spawnSync(tool, ['--version'], { stdio: 'ignore' });
    if (found.error !== undefined) problems.push(`no ${tool} here: install ${from}`);
  }
  if (problems.length > 0) throw failedPrecondition(problems.join('; '));
}

/** The bench's own work is to disturb the servers as little as may be. */
function moveTo(core: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)]);
}

async function play(workload: Workload, plan: BenchPlan): Promise<Played> {
  try {
    return { workload, outcome: await onStage(plan, (stage) => workload.run(stage)) };
  } catch (thrown) {
    return { workload, outcome: { failure: statusOf(thrown).message } };
  }
}

async function run({ workloads, plan, page, jsonFile }: Settings): Promise<void> {
  checkTools(plan);
  // On all cores: what is built inherits the core that the bench moves to.
  if (workloads.some(({ isAlone }) => isAlone !== true)) await buildRivals();
  moveTo(plan.clientCore);
  const machine = await describeMachine();
  console.log([...machine, page.text].join('\n'));
  const played: Played[] = [];
  for (const workload of workloads) {
    const startMs = performance.now();
    const one = await play(workload, plan);
    played.push(one);
    const seconds = ((performance.now() - startMs) / 1_000).toFixed(0);
    console.log(`\n${sectionOf(one).join('\n').trimEnd()}\n\n${workload.name}: ${seconds} s`);
    if ('failure' in one.outcome) process.exitCode = 1;
  }
  const results = played.map(({ workload, outcome }) => ({ name: workload.name, ...outcome }));
  if (jsonFile !== undefined) {
    await writeFile(jsonFile, `${JSON.stringify({ machine, plan, results }, undefined, 2)}\n`);
  }
  if (page.file !== undefined) await writeFile(page.file, pageOf(plan, machine, played));
  console.log(page.file === undefined ? page.text : `written: ${page.file}`);
}

// Its page is written, whoever leaves while it measures.
outliveReaders(true);
try {
  program.parse();
  await run(readSettings(program.opts()));
} catch (thrown) {
  if (thrown instanceof CommanderError) {
    process.exitCode = thrown.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    const error = statusOf(thrown);
    console.error(`bench: ${error.message}`);
    process.exitCode = error.code === Code.INVALID_ARGUMENT ? EXIT_USAGE : 1;
  }
}
