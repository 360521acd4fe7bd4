// The limits of a listener beside those of each of its connections (http2/connection/limits.ts):
// their defaults, and what a caller meets at them. Crossings are told by name, to be counted.
import { DEFAULT_DEADLINE_MS, MAX_MESSAGE_BYTES } from '../backend.ts';
import type { LimitName } from '../http2/connection/limits.ts';
import { MAX_CONNECTIONS } from '../sockets.ts';

export interface ServerLimits {
  /** One message, either way, inflated; a larger one ends its call with RESOURCE_EXHAUSTED. */
  readonly messageBytes: number;
  /**
   * Requests being gathered or not yet answered, of all connections together. Above it calls end
   * with RESOURCE_EXHAUSTED; a connection that holds little itself is always let through.
   */
  readonly requestBytes: number;
  /** The same for answers that wait for callers to take them. */
  readonly answerBytes: number;
  /** A unary call that names no deadline ends with DEADLINE_EXCEEDED after this. */
  readonly defaultDeadlineMs: number;
  /** Open connections; further ones are closed at once. */
  readonly connections: number;
  /**
   * After about so long (a tenth more or less, by chance) a connection is told to go, so that
   * callers spread over new servers. Infinity: never.
   */
  readonly connectionAgeMs: number;
  /** Its calls have so much longer to end; then they end with UNAVAILABLE. */
  readonly connectionAgeGraceMs: number;
  /**
   * Messages from one connection that inflate beyond `messageBytes` out of less than a 50th of it,
   * in a burst; one comes back each second. One more ends the connection.
   */
  readonly bombs: number;
  /** Large messages that are inflated at a time, in other threads; others wait. */
  readonly inflations: number;
}

export const DEFAULT_SERVER_LIMITS: ServerLimits = {
  messageBytes: MAX_MESSAGE_BYTES,
  requestBytes: 256 * 1024 * 1024,
  answerBytes: 256 * 1024 * 1024,
  defaultDeadlineMs: DEFAULT_DEADLINE_MS,
  connections: MAX_CONNECTIONS,
  connectionAgeMs: Number.POSITIVE_INFINITY,
  connectionAgeGraceMs: 30_000,
  bombs: 4,
  inflations: 4,
};

/**
 * What each of several threads that listen on one port may hold, so that together they hold what
 * one would. The system shares connections out by chance, so one thread may refuse some a little
 * before all are taken; and each has room for two messages of the largest size, however many they
 * are.
 */
export function limitsOfThread(threads: number): Partial<ServerLimits> {
  if (threads === 1) return {};
  const { connections, requestBytes, answerBytes } = DEFAULT_SERVER_LIMITS;
  const least = 2 * MAX_MESSAGE_BYTES;
  return {
    connections: Math.ceil(connections / threads),
    requestBytes: Math.max(least, Math.ceil(requestBytes / threads)),
    answerBytes: Math.max(least, Math.ceil(answerBytes / threads)),
  };
}

export type ServerLimitName =
  | LimitName
  | 'bombs'
  | 'message_bytes'
  | 'request_bytes'
  | 'answer_bytes'
  | 'connections';
