// What a request is told that a model's queue turned away.
import { Code, Overloaded, StatusError } from '../../common/status.ts';
import type { ShedReason } from '../loaded-model.ts';

/** Asked to come back no later than this. */
export const MAX_PUSHBACK_MS = 10_000;

const WORDS: Readonly<Record<ShedReason, string>> = {
  // Triton's own.
  'queue-full': 'Exceeds maximum queue size',
  deadline:
    'what waits already would keep the request beyond its deadline; no compute was spent on it',
};

/** @param lateMs so much shorter the wait must have become */
export function overloaded(reason: ShedReason, lateMs: number): Overloaded {
  return new Overloaded(WORDS[reason], pushbackMs(lateMs));
}

export function late(): StatusError {
  return new StatusError(
    Code.DEADLINE_EXCEEDED,
    'the deadline passed while the request was queued; no compute was spent on it',
  );
}

/** When to come again: once the queue is short enough. @param lateMs by so much it would be late */
export function pushbackMs(lateMs: number): number {
  return Math.max(1, Math.min(MAX_PUSHBACK_MS, Math.ceil(lateMs)));
}
