// How many bytes a router's table takes for a model: run as a process of its own with --expose-gc,
// prints one line of JSON. Argument: models, nodes.
import { Plans } from '../../control/plan.ts';
import { createRing } from '../../control/ring.ts';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentEntry,
  type AssignmentShard,
  type CopyRecord,
  type NodeRecord,
  REGISTRY_SCHEMA,
} from '../../registry/registry.ts';
import { shardOf } from '../../registry/shards.ts';
import { RouteTable } from '../../router/route-table.ts';
import { madeModels, madeNode, readyEverywhere } from './made-cluster.ts';

export interface TableBytes {
  readonly models: number;
  readonly copies: number;
  /** Of the heap, after a collection, for each model. */
  readonly heapBytes: number;
  /** Outside of it, ArrayBuffers among them. */
  readonly externalBytes: number;
}

/** As bytes would bring it from a registry: no string is another one's. */
interface Told {
  readonly shards: readonly AssignmentShard[];
  readonly nodes: readonly NodeRecord[];
  readonly copies: readonly (readonly [string, readonly CopyRecord[]])[];
}

function toldText(models: number, nodes: number): { text: string; copies: number } {
  const made = Array.from({ length: nodes }, (_, at) => madeNode(at));
  const entries = new Plans().make({
    ...{ models: madeModels(models), nodes: made, copies: new Map(), previous: [] },
    ring: createRing(made.map(({ id }) => id)),
  });
  const shards = shardsOf(entries);
  const copies = [...readyEverywhere(entries, made)];
  const count = copies.reduce((sum, [, list]) => sum + list.length, 0);
  return { text: JSON.stringify({ shards, nodes: made, copies } satisfies Told), copies: count };
}

export function shardsOf(entries: readonly AssignmentEntry[]): AssignmentShard[] {
  const byShard = Array.from({ length: ASSIGNMENT_SHARDS }, (): AssignmentEntry[] => []);
  for (const entry of entries) byShard[shardOf(entry.model)]?.push(entry);
  return byShard.map((list, index) => ({
    ...{ schema: REGISTRY_SCHEMA, index, epoch: 1, revision: 1 },
    entries: list.map((entry, at) => ({ ...entry, isOnDemand: true, ...differing(index, at) })),
  }));
}

/** What a leader tells nodes of each model. */
function differing(index: number, at: number): Partial<AssignmentEntry> {
  return { costBytes: 1_000_000 + index * 1_000 + at, trafficRank: at };
}

export function bytesInUse(): { heap: number; external: number } {
  if (gc === undefined) throw new Error('to be run with --expose-gc');
  gc();
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return { heap: heapUsed, external };
}

function measure(models: number, nodes: number): TableBytes {
  const { text, copies } = toldText(models, nodes);
  const before = bytesInUse();
  const table = new RouteTable();
  fill(table, text);
  const after = bytesInUse();
  if (table.size !== models) throw new Error(`${table.size} of ${models} models are known`);
  return {
    ...{ models, copies },
    heapBytes: (after.heap - before.heap) / models,
    externalBytes: (after.external - before.external) / models,
  };
}

/** Read twice, the second time as another leader would have written it: nothing may pile up. */
function fill(table: RouteTable, text: string): void {
  for (const epoch of [1, 2]) {
    const told: Told = JSON.parse(text);
    table.addShards(told.shards.map((shard) => ({ ...shard, epoch })));
    table.setNodes(told.nodes, new Map(told.copies));
  }
}

if (import.meta.main) {
  const [models = 100_000, nodes = 1_000] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(measure(models, nodes)));
}
