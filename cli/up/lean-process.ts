// How a process that stays up keeps its memory small. glibc reads these settings only when a
// process starts, and V8 sizes its heaps then, so the process starts itself once more, in place:
// the same number, the same files, the same terminal. Figures, and what else was considered:
// docs/decisions/0016-memory-is-given-back.md.

/** Blocks from this size on go back to the system as soon as they are free: weights, for one. */
const MMAP_THRESHOLD_BYTES = 2 * 1024 * 1024;
/** Free memory at the end of a heap that is kept for the next allocation. */
const TRIM_THRESHOLD_BYTES = 8 * 1024 * 1024;
/** Of each thread; there are two. Larger ones are filled with garbage before they are cleaned. */
const SEMI_SPACE_MIB = 8;
const SEMI_SPACE_FLAG = '--max-semi-space-size';

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
  const isSized = [...execArgv, env.NODE_OPTIONS ?? ''].some((text) =>
    text.replaceAll('_', '-').includes(SEMI_SPACE_FLAG),
  );
  return {
    execArgv: isSized ? execArgv : [...execArgv, `${SEMI_SPACE_FLAG}=${SEMI_SPACE_MIB}`],
    env: {
      MALLOC_TRIM_THRESHOLD_: String(TRIM_THRESHOLD_BYTES),
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
