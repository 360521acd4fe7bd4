// Runs a campaign in a process of its own and watches it: what hangs, ends the process or fills its
// heap is a failure like any other, with the target and the seed of the batch.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TargetTally } from './campaign.ts';
import type { FuzzNews, FuzzWork } from './fuzz-process.ts';

/** A batch takes a fraction of a second, and making a failing input smaller 35 s at most. */
const HANG_MS = 60_000;
/** Targets keep nothing: a heap that grows beyond this leaks. */
const HEAP_MB = 768;
/** Of what it wrote before it ended. */
const SHOWN_CHARACTERS = 2_000;

export interface WatchedOptions extends Omit<FuzzWork, 'module'> {
  readonly module: URL;
  readonly hangMs?: number;
  readonly heapMb?: number;
}

export function runWatched(options: WatchedOptions): Promise<readonly TargetTally[]> {
  const { module, hangMs = HANG_MS, heapMb = HEAP_MB, ...rest } = options;
  const work: FuzzWork = { ...rest, module: module.href };
  const file = fileURLToPath(new URL('./fuzz-process.ts', import.meta.url));
  const child = fork(file, [JSON.stringify(work)], {
    execArgv: [`--max-old-space-size=${heapMb}`],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let latest = { target: 'unknown', seed: options.seed };
  let written = '';
  let hanging: NodeJS.Timeout | undefined;
  let verdict: readonly TargetTally[] | undefined;
  const broken = (what: string): readonly TargetTally[] => {
    const failure = { ...latest, path: '', report: what };
    return [{ target: latest.target, runs: 0, spentMs: 0, failure }];
  };
  const wait = (limitMs: number): void => {
    clearTimeout(hanging);
    hanging = setTimeout(() => {
      verdict ??= broken(`hangs: no end of a batch in ${limitMs} ms`);
      child.kill('SIGKILL');
    }, limitMs);
  };
  child.stderr?.on('data', (chunk: Buffer) => {
    written = (written + chunk.toString()).slice(0, SHOWN_CHARACTERS);
  });
  child.on('message', (news: FuzzNews) => {
    if ('tallies' in news) {
      verdict ??= news.tallies;
      child.kill('SIGKILL');
    } else {
      latest = news;
      wait(hangMs);
    }
  });
  // Before its first batch it starts, which a busy machine may let take a while.
  wait(HANG_MS);
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(hanging);
      resolve(verdict ?? broken(`ends its process with ${signal ?? code}: ${written}`));
    });
  });
}
