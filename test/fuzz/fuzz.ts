// npm run fuzz -- --seconds N [--seed S] [--only NAME] [--path P]: feeds the parsers and state
// machines what nobody planned for. A failure is printed with the command that repeats it, and
// saved under data/fuzz/; the exit code tells.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { TargetTally } from './campaign.ts';
import type { Failure } from './fuzz-target.ts';
import { targets } from './targets.ts';
import { runWatched } from './watched-run.ts';

const FAILURES = join(import.meta.dirname, '../../data/fuzz');
const DEFAULT_SECONDS = 60;
const SEEDS = 2 ** 31;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: String(DEFAULT_SECONDS) },
    seed: { type: 'string' },
    only: { type: 'string' },
    path: { type: 'string' },
  },
});

function save(failure: Failure): void {
  const { target, seed, path, report } = failure;
  const again = `npm run fuzz -- --only ${target} --seed ${seed}${path && ` --path ${path}`}`;
  const text = `${target}: ${report}\n\nagain: ${again}\n`;
  mkdirSync(FAILURES, { recursive: true });
  const file = join(FAILURES, `${target}-${seed}.txt`);
  writeFileSync(file, text);
  console.log(`\nFAILED ${text}saved: ${file}`);
}

function print(tallies: readonly TargetTally[]): void {
  console.log(`\n${'target'.padEnd(28)}${'inputs'.padStart(10)}${'a second'.padStart(10)}`);
  for (const { target, runs, spentMs, failure } of tallies) {
    const rate = spentMs > 0 ? Math.round((runs * 1000) / spentMs) : 0;
    const columns = `${target.padEnd(28)}${String(runs).padStart(10)}${String(rate).padStart(10)}`;
    console.log(`${columns}${failure === undefined ? '' : '  FAILED'}`);
  }
}

const names = targets.map(({ name }) => name);
const seed = values.seed === undefined ? Math.floor(Math.random() * SEEDS) : Number(values.seed);
const durationMs = Number(values.seconds) * 1000;
if (values.only !== undefined && !names.includes(values.only)) {
  console.log(`no target ${values.only}: there are ${names.join(', ')}`);
  process.exitCode = 2;
} else if (!Number.isInteger(seed) || !(durationMs > 0) || (values.path && !values.only)) {
  console.log('--seed is an integer, --seconds above 0, --path goes with --only and --seed');
  process.exitCode = 2;
} else {
  const { only, path } = values;
  console.log(`fuzzing ${only ?? names.join(', ')} for ${durationMs / 1000} s, seed ${seed}`);
  const module = new URL('./targets.ts', import.meta.url);
  const tallies = await runWatched({ module, only, seed, path, durationMs });
  print(tallies);
  const failures = tallies.flatMap(({ failure }) => failure ?? []);
  for (const failure of failures) save(failure);
  console.log(failures.length === 0 ? '\nnothing found' : `\n${failures.length} found`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}
