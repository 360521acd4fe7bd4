// How many threads a node or a router serves gRPC with, the same for every command that starts
// one.
import { availableParallelism } from 'node:os';

export const MAX_IO_THREADS = 64;
/** Systems where several threads can listen on one port, as Node has it (`reusePort`). */
const SHARE_PORTS: ReadonlySet<string> = new Set(['linux', 'freebsd', 'dragonfly', 'sunos', 'aix']);
/** Below it a second thread takes from the first one, and from models, what it gives. */
const SEVERAL_FROM_CORES = 4;
/** More only when somebody says so: each keeps a session of every inline model. */
const MOST_BY_DEFAULT = 8;

/**
 * Half of the cores: the rest is for models in threads of their own, the other roles, training and
 * the system.
 */
export function defaultIoThreads(
  cores = availableParallelism(),
  platform: string = process.platform,
): number {
  if (cores < SEVERAL_FROM_CORES || !canHaveSeveral(platform)) return 1;
  return Math.min(MOST_BY_DEFAULT, Math.floor(cores / 2));
}

export function canHaveSeveral(platform: string = process.platform): boolean {
  return SHARE_PORTS.has(platform);
}

export const IO_THREADS_FLAG = [
  '--io-threads <n>',
  'threads that serve gRPC, all on the same ports (default 1 below 4 cores, else half of the ' +
    `cores, at most ${MOST_BY_DEFAULT})`,
] as const;
