// Which keys the registry has in Redis, and which of them share a slot of Redis Cluster: those that
// one transition changes together. Membership is one slot, so that each heartbeat can also forget
// the nodes that fell silent; the assignment, which is most of the bytes, is spread over
// SHARD_GROUPS slots; each lease has a slot of its own.
import { ASSIGNMENT_SHARDS } from '../registry.ts';

/** A cluster of more masters than that leaves some without shards. */
export const SHARD_GROUPS = 16;

export interface Keys {
  /** As lua/membership.lua counts them. */
  readonly membership: readonly string[];
  /** Beside them, in their slot. */
  readonly loads: string;
  /** As lua/acquire-lease.lua counts them. */
  lease(name: string): readonly string[];
  /** As lua/put-shard.lua counts them. */
  shards(group: number): readonly string[];
  /** Channels know no databases, so the number is in the name. */
  readonly channel: string;
}

export function keysOf(prefix: string, db: number): Keys {
  const membership = ['expiry', 'incarnations', 'records', 'copies', 'stamps'];
  return {
    membership: membership.map((name) => `${prefix}:{nodes}:${name}`),
    loads: `${prefix}:{nodes}:loads`,
    lease: (name) => [`${prefix}:{lease:${name}}:held`, `${prefix}:{lease:${name}}:fence`],
    shards: (group) => [
      `${prefix}:{shards:${group}}:revisions`,
      `${prefix}:{shards:${group}}:bodies`,
    ],
    channel: `${prefix}:${db}:changes`,
  };
}

/** 0 to SHARD_GROUPS - 1. */
export function groupOf(index: number): number {
  return index % SHARD_GROUPS;
}

/** The indices in their groups, those without any left out. */
export function inGroups(indices: readonly number[]): ReadonlyMap<number, readonly number[]> {
  const groups = new Map<number, number[]>();
  for (const index of indices) {
    const group = groups.get(groupOf(index));
    if (group === undefined) groups.set(groupOf(index), [index]);
    else group.push(index);
  }
  return groups;
}

export const ALL_SHARDS: readonly number[] = Array.from(
  { length: ASSIGNMENT_SHARDS },
  (_, index) => index,
);
