// How a process that stays up keeps its memory small. glibc reads these settings only when a
// process starts, and V8 sizes its heaps then, so the process starts itself once more, in place:
// the same number, the same files, the same terminal. Figures, and what else was considered:
// docs/decisions/0016-memory-is-given-back.md.

/** Blocks from this size on go back to the system as soon as they are free: weights, for one. */
const MMAP_THRESHOLD_BYTES = 2 * 1024 * 1024;
/** Free memory at the end of a heap that is kept for the next allocation. */
const TRIM_THRESHOLD_BYTES = 1024 * 1024;
/**
 * Such blocks are made of large pages where the system gives them to who asks (THP, madvise): a
 * message of 16 MB is filled twice as fast when it does not come in 4,096 pages, one fault each.
 */
const LARGE_PAGES = 'glibc.malloc.hugetlb=1';
/**
 * V8's, for each thread. MiB of each of the two young halves: larger ones are filled with garbage
 * before they are cleaned. Percent by which the old generation may outgrow what was alive in it:
 * without it garbage of a quiet thread is kept to several times that; at 30, requests of 3 KiB made
 * V8 mark the whole heap nine times a second.
 */
const HEAP_FLAGS: Readonly<Record<string, string>> = {
  '--max-semi-space-size': '--max-semi-space-size=8',
  '--heap-growing-percent': '--heap-growing-percent=100',
  // Of 8 MiB little is alive: waking threads takes longer than copying that, above all on one core.
  'parallel-scavenge': '--no-parallel-scavenge',
  // For engines' threads: they collect what is left of a model when it is unloaded.
  '--expose-gc': '--expose-gc',
};

export interface Surroundings {
  readonly platform: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Flags of Node itself. */
  readonly execArgv: readonly string[];
}

export interface LeanStart {
  readonly execArgv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/**
 * With what the process is to start itself again; undefined: it is as it should be, or somebody has
 * set glibc's MALLOC_MMAP_THRESHOLD_ to what they think is better.
 */
export function leanStart({ platform, env, execArgv }: Surroundings): LeanStart | undefined {
  if (platform !== 'linux' || env.MALLOC_MMAP_THRESHOLD_ !== undefined) return undefined;
  const kept = Object.entries(env).filter((one): one is [string, string] => one[1] !== undefined);
  const given = [...execArgv, env.NODE_OPTIONS ?? ''].join(' ').replaceAll('_', '-');
  const added = Object.entries(HEAP_FLAGS).filter(([flag]) => !given.includes(flag));
  return {
    execArgv: [...execArgv, ...added.map(([, flag]) => flag)],
    env: {
      MALLOC_TRIM_THRESHOLD_: String(TRIM_THRESHOLD_BYTES),
      GLIBC_TUNABLES: LARGE_PAGES,
      ...Object.fromEntries(kept),
      MALLOC_MMAP_THRESHOLD_: String(MMAP_THRESHOLD_BYTES),
    },
  };
}

/** Comes back only if there is nothing to do. To be called before anything else is begun. */
export function startLean(main: string, args: readonly string[]): void {
  const start = leanStart(process);
  if (start === undefined || process.execve === undefined) return;
  const { execPath } = process;
  process.execve(execPath, [execPath, ...start.execArgv, main, ...args], start.env);
}
