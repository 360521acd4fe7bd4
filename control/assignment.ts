// The assignment as the registry holds it: entries cut into shards, of which only the changed ones
// are written. A new leader writes every shard once under its epoch, the empty ones too: from then
// on an older leader's writes are refused everywhere.
import { isDeepStrictEqual } from 'node:util';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentEntry,
  type AssignmentShard,
  REGISTRY_SCHEMA,
  type ShardStep,
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

/** Undefined: it is not known what was there before. */
export function stepTo(
  { index, epoch, revision, entries }: AssignmentShard,
  before: AssignmentShard | undefined,
): ShardStep | undefined {
  if (before === undefined) return undefined;
  const old = new Map(before.entries.map((entry) => [`${entry.model}/${entry.version}`, entry]));
  const nodeIds = new Set<string>();
  const name = (entry: AssignmentEntry | undefined): void => {
    for (const id of entry?.nodes ?? []) nodeIds.add(id);
  };
  for (const entry of entries) {
    const key = `${entry.model}/${entry.version}`;
    const was = old.get(key);
    old.delete(key);
    if (was === entry || isDeepStrictEqual(was, entry)) continue;
    name(was);
    name(entry);
  }
  for (const gone of old.values()) name(gone);
  const from = { index, epoch: before.epoch, revision: before.revision };
  return { to: { index, epoch, revision }, from, nodeIds: [...nodeIds] };
}

/** Grows with each change of any shard, under one leader. */
export function assignmentRevision(shards: Iterable<Pick<AssignmentShard, 'revision'>>): number {
  let sum = 0;
  for (const { revision } of shards) sum += revision;
  return sum;
}
