// How many threads a node or a router serves gRPC with, the same for every command that starts
// one.
import { availableParallelism } from 'node:os';

export const MAX_IO_THREADS = 64;
/** Below it a second thread takes from the first one, and from models, what it gives. */
const SEVERAL_FROM_CORES = 4;
/** More only when somebody says so: each keeps a session of every inline model. */
const MOST_BY_DEFAULT = 8;

/**
 * Half of the cores: the rest is for models in threads of their own, the other roles, training and
 * the system.
 */
export function defaultIoThreads(cores = availableParallelism()): number {
  if (cores < SEVERAL_FROM_CORES) return 1;
  return Math.min(MOST_BY_DEFAULT, Math.floor(cores / 2));
}

export const IO_THREADS_FLAG = [
  '--io-threads <n>',
  'threads that serve gRPC, all on the same ports (default 1 below 4 cores, else half of the ' +
    `cores, at most ${MOST_BY_DEFAULT})`,
] as const;
