// Seeds on all cores: child processes take small bunches until there are no more, or whoever asked
// has seen enough. One that ends or hangs takes the run with it, and is named with its seeds.
import { type ChildProcess, fork } from 'node:child_process';
import type { RunResult } from './run.ts';
import type { SeedWork } from './seed-child.ts';

/** So many seeds take about a second. */
const BUNCH = 20;
/** A bunch takes seconds; so long it takes on no machine. */
const HANG_MS = 120_000;
/** Most of what a run makes is gone when it ends: a wide nursery spares the copying. */
const EXEC_ARGV = ['--max-semi-space-size=32', '--max-old-space-size=1024'];

export interface PoolOptions {
  readonly from: number;
  readonly count: number;
  readonly workers: number;
  readonly bug?: string | undefined;
  /** False: no more seeds. They come as they end, not in their order. */
  readonly onResult: (result: RunResult) => boolean;
}

export async function runSeeds(options: PoolOptions): Promise<void> {
  const endSeed = options.from + options.count;
  let next = options.from;
  let isEnough = false;
  const takeWork = (): SeedWork | undefined => {
    if (isEnough || next >= endSeed) return undefined;
    const count = Math.min(BUNCH, endSeed - next);
    const work = { from: next, count, bug: options.bug };
    next += count;
    return work;
  };
  const workers = Array.from({ length: options.workers }, async () => {
    const child = fork(new URL('./seed-child.ts', import.meta.url), {
      execArgv: EXEC_ARGV,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    try {
      for (let work = takeWork(); work !== undefined; work = takeWork()) {
        for (const result of await ask(child, work)) {
          if (!isEnough && !options.onResult(result)) isEnough = true;
        }
      }
    } finally {
      child.kill('SIGKILL');
    }
  });
  await Promise.all(workers);
}

function ask(child: ChildProcess, work: SeedWork): Promise<readonly RunResult[]> {
  return new Promise((resolve, reject) => {
    const fail = (how: string): void => {
      const last = work.from + work.count - 1;
      reject(new Error(`the process that ran seeds ${work.from} to ${last} ${how}`));
    };
    const onExit = (code: number | null, signal: string | null): void =>
      fail(`ended with ${signal ?? code}`);
    const timer = setTimeout(() => fail(`said nothing for ${HANG_MS} ms`), HANG_MS);
    child.once('exit', onExit);
    child.once('message', (results) => {
      clearTimeout(timer);
      child.off('exit', onExit);
      resolve(results as readonly RunResult[]);
    });
    child.send(work);
  });
}
