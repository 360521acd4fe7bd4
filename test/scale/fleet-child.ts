// Many nodes in one process, as the registry sees them: each beats, and says that it has READY what
// it is assigned, as soon as it is told. It reads a changed shard once; real nodes read it each.
// Arguments: the registry's address, how many nodes.
import { systemClock as clock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { openRegistry } from '../../registry/open.ts';
import { type AssignmentShard, type CopyRecord, HEARTBEAT_MS } from '../../registry/registry.ts';
import { madeNode } from './made-cluster.ts';

/** Long: what is measured is not how soon a busy machine loses a heartbeat. */
const TTL_MS = 60_000;
const BEATS_A_PERIOD = 10;
const SHARDS_A_READ = 16;
const PUTS_AT_A_TIME = 4;

export type FleetCommand = { readonly leave: number } | { readonly join: number };

const log = createLog({ role: 'fleet', level: 'warn' });
const registry = openRegistry(process.argv[2] ?? '', { clock, log });
const live = new Map<string, ReturnType<typeof madeNode>>();
/** By shard: what each node has of it. */
const held = new Map<number, ReadonlyMap<string, readonly CopyRecord[]>>();
const pending = new Set<number>();
let isReading = false;
let turn = 0;

function copiesOf(nodeId: string): readonly CopyRecord[] {
  return [...held.values()].flatMap((byNode) => byNode.get(nodeId) ?? []);
}

function byNodeOf({ entries }: AssignmentShard): ReadonlyMap<string, readonly CopyRecord[]> {
  const byNode = new Map<string, CopyRecord[]>();
  for (const { model, version, manifestSha256, nodes } of entries) {
    for (const id of nodes) {
      const list = byNode.get(id) ?? [];
      byNode.set(id, list);
      const state = 'READY' as const;
      list.push({ model, version, manifestSha256, state, reason: '', memoryBytes: 4_000_000 });
    }
  }
  return byNode;
}

async function inParts<T>(all: readonly T[], size: number, work: (part: T[]) => Promise<unknown>) {
  for (let at = 0; at < all.length; at += size) await work(all.slice(at, at + size));
}

/** As often as it takes: on a busy machine a call may not be answered in time. */
async function again<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, HEARTBEAT_MS));
    }
  }
}

function tell({ id, incarnation }: ReturnType<typeof madeNode>): Promise<boolean> {
  return again(() => registry.putCopies(id, incarnation, copiesOf(id)));
}

async function read(): Promise<void> {
  if (isReading) return;
  isReading = true;
  while (pending.size > 0) {
    const changed = new Set<string>();
    const indices = [...pending];
    pending.clear();
    await inParts(indices, SHARDS_A_READ, async (part) => {
      for (const shard of await again(() => registry.shards(part))) {
        const [before, now] = [held.get(shard.index), byNodeOf(shard)];
        held.set(shard.index, now);
        for (const id of new Set([...(before?.keys() ?? []), ...now.keys()])) {
          const names = (list: readonly CopyRecord[] = []) => list.map(({ model }) => model).join();
          if (names(before?.get(id)) !== names(now.get(id))) changed.add(id);
        }
      }
    });
    const nodes = [...changed].flatMap((id) => live.get(id) ?? []);
    await inParts(nodes, PUTS_AT_A_TIME, (part) => Promise.all(part.map(tell)));
  }
  isReading = false;
}

async function join(at: number): Promise<void> {
  const node = madeNode(at);
  live.set(node.id, node);
  await again(() => registry.putNode(node, copiesOf(node.id), TTL_MS));
}

async function take(command: FleetCommand): Promise<void> {
  if ('join' in command) return await join(command.join);
  const node = madeNode(command.leave);
  live.delete(node.id);
  await again(() => registry.removeNode(node.id, node.incarnation));
}

const all = Array.from({ length: Number(process.argv[3]) }, (_, at) => at);
await inParts(all, PUTS_AT_A_TIME, (part) => Promise.all(part.map(join)));
registry.watch((change) => {
  if (change.kind === 'assignment') pending.add(change.index);
  if (pending.size > 0) void read();
});
const beats = setInterval(() => {
  turn += 1;
  const due = [...live.values()].filter((_, at) => at % BEATS_A_PERIOD === turn % BEATS_A_PERIOD);
  for (const { id, incarnation } of due) {
    registry.heartbeat(id, incarnation, TTL_MS).catch(() => {});
  }
}, HEARTBEAT_MS / BEATS_A_PERIOD);
process.on('message', (command: FleetCommand) => void take(command));
process.once('disconnect', () => {
  clearInterval(beats);
  void registry.close();
});
process.send?.('ready');
