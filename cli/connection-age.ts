// How long callers keep a connection, the same for every command that serves inference over gRPC.
import { z } from 'zod';
import type { ServerLimits } from '../transport/server/server-limits.ts';

export const MAX_CONNECTION_AGE_SECONDS = 999_999;

/** Undefined: as long as they like. */
export const maxConnectionAge = z
  .string()
  .regex(/^[1-9]\d{0,5}$/, `must be seconds, 1 to ${MAX_CONNECTION_AGE_SECONDS}`)
  .transform(Number)
  .optional();

export const CONNECTION_AGE_FLAG = [
  '--max-connection-age <s>',
  'tell callers to connect anew after about so many seconds, so that they spread over new ' +
    'servers (default: never)',
] as const;

/** @param maxSeconds undefined: never */
export function connectionAge(maxSeconds: number | undefined): Partial<ServerLimits> {
  return maxSeconds === undefined ? {} : { connectionAgeMs: maxSeconds * 1_000 };
}
