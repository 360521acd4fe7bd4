// What router tests put into a registry: nodes with copies, and an assignment as a leader writes
// it.
import {
  ASSIGNMENT_SHARDS,
  type AssignmentEntry,
  type AssignmentShard,
  type CopyRecord,
  type CopyState,
  type NodeRecord,
  REGISTRY_SCHEMA,
  type Registry,
} from '../../registry/registry.ts';
import { shardOf } from '../../registry/shards.ts';

export const MANIFEST = 'a'.repeat(64);

export function node(id: string, more: Partial<NodeRecord> = {}): NodeRecord {
  return {
    schema: REGISTRY_SCHEMA,
    id,
    incarnation: `${id}-1`,
    address: `${id}:1`,
    state: 'SERVING',
    zone: '',
    memoryLimitBytes: 0,
    ...more,
  };
}

export function copy(
  model: string,
  version: number,
  state: CopyState = 'READY',
  more: Partial<CopyRecord> = {},
): CopyRecord {
  const reason = state === 'FAILED' ? 'corrupt file' : '';
  return { model, version, manifestSha256: MANIFEST, state, reason, memoryBytes: 1, ...more };
}

export function entry(
  model: string,
  version: number,
  more: Partial<AssignmentEntry> = {},
): AssignmentEntry {
  return {
    model,
    version,
    manifestSha256: MANIFEST,
    nodes: [],
    weight: 1,
    reason: '',
    isIdempotent: true,
    ...more,
  };
}

/** All shards. */
export function plan(
  entries: readonly AssignmentEntry[],
  revision = 1,
  epoch = 1,
): readonly AssignmentShard[] {
  return Array.from({ length: ASSIGNMENT_SHARDS }, (_, index) => ({
    schema: REGISTRY_SCHEMA,
    index,
    epoch,
    revision,
    entries: entries.filter(({ model }) => shardOf(model) === index),
  }));
}

export async function assign(
  registry: Registry,
  entries: readonly AssignmentEntry[],
  revision = 1,
): Promise<void> {
  for (const shard of plan(entries, revision)) await registry.putShard(shard);
}

/** Turns of the event loop that are waited one by one; then others get the processor too. */
const QUICK_TURNS = 10_000;
const SLOW_TURNS = 30_000;

/** Lets pending work go on until the condition holds: some of it may be another thread's. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  for (let turn = 0; turn < QUICK_TURNS + SLOW_TURNS; turn++) {
    if (await condition()) return;
    await new Promise<void>((resolve) => {
      if (turn < QUICK_TURNS) setImmediate(resolve);
      else setTimeout(resolve, 1);
    });
  }
  throw new Error(`never happened: ${what}`);
}
