// npm run bench: our servers beside their rivals in one run, workload by workload, each figure with
// its target. Prints as it goes; a whole run also writes docs/performance.md.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { Command, CommanderError } from 'commander';
import { z } from 'zod';
import { outliveReaders } from '../cli/client/readers.ts';
import { Code, failedPrecondition, invalidArgument, statusOf } from '../common/status.ts';
import { type Played, pageOf, sectionOf } from './bench/page.ts';
import { WORKLOADS } from './bench/workloads.ts';
import { describeMachine } from './measure/machine.ts';
import { type BenchPlan, FULL_PLAN, onStage, QUICK_PLAN } from './measure/stage.ts';
import type { Workload } from './measure/workload.ts';

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
  .option('--json <file>', 'write the results there, for programs')
  .showHelpAfterError()
  .exitOverride();

interface Settings {
  readonly workloads: readonly Workload[];
  readonly plan: BenchPlan;
  /** Measured in full: the page is written. */
  readonly isWhole: boolean;
  readonly jsonFile: string | undefined;
}

function readSettings(flags: unknown): Settings {
  const parsed = schema.safeParse(flags);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      ({ path, message }) => `--${path.join('.')}: ${message}`,
    );
    throw invalidArgument(problems.join('\n'));
  }
  const { only, quick, json, rounds, seconds, serverCore, clientCore } = parsed.data;
  const base = quick ? QUICK_PLAN : FULL_PLAN;
  return {
    workloads: WORKLOADS.filter(({ name }) => only?.includes(name) ?? true),
    plan: {
      ...base,
      ...(rounds !== undefined && { rounds }),
      ...(seconds !== undefined && { secondsPerRound: seconds }),
      ...(serverCore !== undefined && { serverCore }),
      ...(clientCore !== undefined && { clientCore }),
    },
    isWhole: only === undefined && !quick && (rounds ?? base.rounds) >= base.rounds,
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

async function run({ workloads, plan, isWhole, jsonFile }: Settings): Promise<void> {
  checkTools(plan);
  moveTo(plan.clientCore);
  const machine = await describeMachine();
  console.log(machine.join('\n'));
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
  if (!isWhole) return;
  const page = new URL('../docs/performance.md', import.meta.url);
  await writeFile(page, pageOf(plan, machine, played));
  console.log('written: docs/performance.md');
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
