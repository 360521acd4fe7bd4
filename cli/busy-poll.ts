// Whether the threads that serve gRPC look for the next call before they sleep, the same for every
// command that has such threads.
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { DEFAULT_BUSY_POLL_US, MAX_BUSY_POLL_US } from '../common/busy-poll.ts';

/** On one core it would take from whoever is to send the next call. */
export function defaultBusyPollUs(cores = availableParallelism()): number {
  return cores > 1 ? DEFAULT_BUSY_POLL_US : 0;
}

export const busyPollUs = z
  .string()
  .regex(/^\d{1,5}$/, `must be microseconds, 0 to ${MAX_BUSY_POLL_US}`)
  .transform(Number)
  .refine((value) => value <= MAX_BUSY_POLL_US, `must be at most ${MAX_BUSY_POLL_US}`)
  .default(defaultBusyPollUs());

export const BUSY_POLL_FLAG = [
  '--busy-poll-us <us>',
  'where calls come one right after the other, look for the next one so long before sleeping ' +
    `(default ${DEFAULT_BUSY_POLL_US}, 0 on one core; 0 never does)`,
] as const;
