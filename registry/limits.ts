// What a registry takes and gives back at most, and the checks of arguments that every
// implementation makes.
import { invalidArgument } from '../common/status.ts';
import { ASSIGNMENT_SHARDS, MAX_LOADS_OF_NODE } from './registry.ts';

/** A longer life is a mistake in the unit. */
export const MAX_TTL_MS = 366 * 24 * 60 * 60 * 1_000;
/**
 * How long after its last owner a lease still refuses older epochs. For ever would keep a number
 * for each job that ever ran; whoever comes back later is stopped by the catalog.
 */
export const LEASE_FENCE_MS = 60 * 60 * 1_000;

/** @throws INVALID_ARGUMENT */
export function checkTtl(ttlMs: number): void {
  if (ttlMs > 0 && ttlMs <= MAX_TTL_MS) return;
  throw invalidArgument(
    `a TTL must be a positive number of milliseconds, at most a year, not ${ttlMs}`,
  );
}

/** @throws INVALID_ARGUMENT */
export function checkIndex(index: number): void {
  if (Number.isInteger(index) && index >= 0 && index < ASSIGNMENT_SHARDS) return;
  throw invalidArgument(`shard ${index} does not exist: they are 0 to ${ASSIGNMENT_SHARDS - 1}`);
}

/** Epochs and revisions. @throws INVALID_ARGUMENT */
export function checkCount(what: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw invalidArgument(`${what} must be a whole number from 0 to 2^53-1, not ${value}`);
}

/** @throws INVALID_ARGUMENT */
export function checkLoads(loads: readonly unknown[]): void {
  if (loads.length <= MAX_LOADS_OF_NODE) return;
  throw invalidArgument(
    `a node tells the load of at most ${MAX_LOADS_OF_NODE} models, not of ${loads.length}`,
  );
}
