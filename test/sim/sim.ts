// npm run sim: the cluster in virtual time, seed by seed; npm run sim -- --help says the rest. A
// seed that breaks a rule is printed with the command that repeats it; the exit code tells.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { startProgress } from '../../cli/client/progress.ts';
import { PLANTED_BUGS, plantedBug } from './planted-bugs.ts';
import { huntPlanted } from './planted-hunt.ts';
import { breachLines, huntTable, Summary, summaryLines } from './reports.ts';
import { runSeed } from './run.ts';
import { runSeeds } from './seed-pool.ts';

const DEFAULT_SEEDS = 10_000;
const WRONG_USAGE = 64;
/** Seeds with breaches of which the words are printed. */
const MAX_SHOWN = 10;

const HELP = `npm run sim -- [options]: the cluster in virtual time under faults, every rule checked

  --seeds N      so many seeds (default ${DEFAULT_SEEDS})
  --from S       beginning with this one (default 1)
  --seed S       this one alone
  --trace        with --seed: every event, as it happens
  --planted      looks for each planted bug, until it is found or the seeds are through
  --bug NAME     the product with this bug: ${PLANTED_BUGS.map(({ name }) => name).join(', ')}
  --workers N    processes (default: one a core)
  --json         results as JSON on standard output
  --help         this

The exit code is 0 when no rule was broken (with --planted: when every bug was found), else 1.`;

function parsed() {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: String(DEFAULT_SEEDS) },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
      planted: { type: 'boolean', default: false },
      bug: { type: 'string' },
      workers: { type: 'string', default: String(availableParallelism()) },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { seed, bug, trace, planted } = values;
  const options = {
    ...values,
    seeds: wholeNumber('seeds', values.seeds),
    from: wholeNumber('from', values.from),
    seed: seed === undefined ? undefined : wholeNumber('seed', seed),
    workers: wholeNumber('workers', values.workers),
  };
  if (bug !== undefined) plantedBug(bug);
  if (trace && seed === undefined) throw new Error('--trace goes with --seed');
  if (planted && seed !== undefined) throw new Error('--planted goes without --seed');
  return options;
}

type Options = ReturnType<typeof parsed>;

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`--${name} is a whole number above 0, not '${text}'`);
}

async function one(seed: number, { bug, trace, json }: Options): Promise<boolean> {
  const planted = bug === undefined ? {} : { planted: plantedBug(bug).plant() };
  const write = trace && !json ? (line: string): void => console.log(line) : undefined;
  const result = await runSeed({ seed, write, ...planted });
  const { breaches } = result;
  if (json) console.log(JSON.stringify(result, undefined, 2));
  else {
    const { hash, steps, calls, faults } = result;
    console.log(`seed ${seed}: trace ${hash}, ${steps} steps, ${faults.length} faults,`);
    console.log(`  calls: ${calls.ok} answered, ${calls.failed} failed, ${calls.cut} cut off`);
    for (const line of breachLines(result)) console.log(line);
  }
  return breaches.length === 0;
}

async function many(options: Options): Promise<boolean> {
  const { seeds: count, from, workers, bug, json } = options;
  const progress = startProgress('seeds', { stream: process.stderr, isQuiet: json });
  const summary = new Summary();
  await runSeeds({
    ...{ from, count, workers, bug },
    onResult(result) {
      summary.add(result);
      progress.update(summary.runs / count, `${summary.runs} run, ${summary.broken.length} broken`);
      return true;
    },
  });
  progress.stop();
  if (json) console.log(JSON.stringify(summary, undefined, 2));
  else for (const line of summaryLines(summary, MAX_SHOWN, bug)) console.log(line);
  return summary.broken.length === 0;
}

async function planted({ seeds, from, workers, bug, json }: Options): Promise<boolean> {
  const progress = startProgress('planted bugs', { stream: process.stderr, isQuiet: json });
  const bugs = PLANTED_BUGS.filter(({ name }) => bug === undefined || name === bug);
  const hunts = await huntPlanted({
    ...{ bugs, seeds, from, workers },
    onHunt: (done, name) => progress.update(done / bugs.length, name),
  });
  progress.stop();
  console.log(json ? JSON.stringify(hunts, undefined, 2) : huntTable(hunts));
  return hunts.every(({ foundBy }) => foundBy !== undefined);
}

async function main(): Promise<number> {
  let options: Options;
  try {
    options = parsed();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return WRONG_USAGE;
  }
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  let isGood: boolean;
  if (options.seed !== undefined) isGood = await one(options.seed, options);
  else isGood = await (options.planted ? planted(options) : many(options));
  return isGood ? 0 : 1;
}

process.exitCode = await main();
