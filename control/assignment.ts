// The assignment as the registry holds it: entries cut into shards, of which only the changed ones
// are written. A new leader writes every shard once under its epoch, the empty ones too: from then
// on an older leader's writes are refused everywhere.
import { isDeepStrictEqual } from 'node:util';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentEntry,
  type AssignmentShard,
  REGISTRY_SCHEMA,
} from '../registry/registry.ts';
import { shardOf } from '../registry/shards.ts';

/**
 * The shards to write so that the assignment holds `entries` under `epoch`; `lost` are indices that
 * the registry does not hold as `held` says.
 */
export function changedShards(
  entries: readonly AssignmentEntry[],
  held: ReadonlyMap<number, AssignmentShard>,
  epoch: number,
  lost: ReadonlySet<number> = new Set(),
): AssignmentShard[] {
  const byShard = new Map<number, AssignmentEntry[]>();
  for (const entry of entries) {
    const index = shardOf(entry.model);
    const list = byShard.get(index);
    if (list === undefined) byShard.set(index, [entry]);
    else list.push(entry);
  }
  const changed: AssignmentShard[] = [];
  for (let index = 0; index < ASSIGNMENT_SHARDS; index += 1) {
    const before = held.get(index);
    const now = byShard.get(index) ?? [];
    const isHeld = before?.epoch === epoch && !lost.has(index);
    if (isHeld && isDeepStrictEqual(before.entries, now)) continue;
    const revision = (before?.revision ?? 0) + 1;
    changed.push({ schema: REGISTRY_SCHEMA, index, epoch, revision, entries: now });
  }
  return changed;
}

/** Grows with each change of any shard, under one leader. */
export function assignmentRevision(shards: Iterable<Pick<AssignmentShard, 'revision'>>): number {
  let sum = 0;
  for (const { revision } of shards) sum += revision;
  return sum;
}
