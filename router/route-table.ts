// Where calls can go: assignment, live nodes and their copies, joined into the READY copies of each
// model version. Pure: what the registry said goes in, answers for calls come out. It is kept as
// changes come: a shard or a node that changed touches its own models only. A look-up is one look
// into a map; what else is known of a model is packed (packed-shard.ts), and unpacked when it has
// changed: a table of 100,000 models takes less than 200 bytes for each.
import { shownName } from '../common/names.ts';
import { Code, StatusError } from '../common/status.ts';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentShard,
  type CopyRecord,
  type NodeRecord,
  type ShardRevision,
} from '../registry/registry.ts';
import { shardOf } from '../registry/shards.ts';
import {
  type IndexState,
  type ModelRoute,
  type PlacedCopy,
  type Ready,
  type Resolution,
  resolveIn,
  routeOf,
  unknownVersion,
  type VersionState,
  versionsOf,
  WAITING,
} from './model-routes.ts';
import { NodeNumbers } from './node-numbers.ts';
import { type HeldCopy, type NumberedCopy, PackedShard } from './packed-shard.ts';
import { SharedRoutes } from './shared-routes.ts';

export type { IndexState, Ready, Resolution };

export interface IndexEntry {
  readonly model: string;
  readonly version: number;
  readonly state: IndexState;
  /** Why it is UNAVAILABLE, '' else. */
  readonly reason: string;
}

export class RouteTable {
  #nodes: ReadonlyMap<string, NodeRecord> = new Map();
  readonly #numbers = new NodeNumbers();
  /** By index; those that were never read are unread. */
  readonly #shards: PackedShard[];
  #unread = ASSIGNMENT_SHARDS;
  readonly #routes = new Map<string, ModelRoute>();
  readonly #shared = new SharedRoutes();
  #changes = 0;

  constructor() {
    this.#shards = Array.from({ length: ASSIGNMENT_SHARDS }, (_, index) => {
      return new PackedShard(unreadShard(index), this.#numbers);
    });
  }

  /**
   * Replaces the live nodes. Of those in `copies` it replaces what they hold too; others hold what
   * they held. What a node that is gone held is forgotten.
   */
  setNodes(nodes: readonly NodeRecord[], copies: ReadonlyMap<string, readonly HeldCopy[]>): void {
    const before = this.#nodes;
    const isSame = nodes.length === before.size && nodes.every((one) => before.get(one.id) === one);
    if (!isSame) this.#changes += 1;
    this.#nodes = new Map(nodes.map((node) => [node.id, node]));
    const changed = new Set<number>();
    const turned = new Set<number>();
    for (const { id, state } of before.values()) {
      const now = this.#nodes.get(id);
      if (now === undefined) changed.add(this.#numbers.of(id));
      else if (now.state !== state) turned.add(this.#numbers.of(id));
    }
    const byShard = new Map<number, NumberedCopy[]>();
    for (const [id, held] of copies) {
      if (!this.#nodes.has(id)) continue;
      const node = this.#numbers.of(id);
      changed.add(node);
      for (const copy of held) {
        const index = shardOf(copy.model);
        const list = byShard.get(index);
        if (list === undefined) byShard.set(index, [{ node, copy }]);
        else list.push({ node, copy });
      }
    }
    if (changed.size === 0 && turned.size === 0) return;
    this.#changes += 1;
    for (const shard of this.#shards) {
      const news = byShard.get(shard.revision.index) ?? [];
      const touched = shard.replaceCopies(changed, news);
      for (const at of touched) this.#settle(shard, at);
      if (turned.size > 0) this.#settleOn(shard, turned);
    }
    this.#forgetUnused();
  }

  /** Takes the shards that are newer than those it has; an older leader's are refused. */
  addShards(shards: readonly AssignmentShard[]): void {
    for (const shard of shards) {
      const held = this.#shards[shard.index];
      if (held === undefined || !isNewer(shard, held.revision)) continue;
      if (!isRead(held)) this.#unread -= 1;
      this.#replace(held, shard);
    }
    this.#forgetUnused();
  }

  /** Undefined: none was read yet. */
  revision(index: number): ShardRevision | undefined {
    const shard = this.#shards[index];
    return shard === undefined || !isRead(shard) ? undefined : shard.revision;
  }

  /** As it was read; made anew each time. */
  shard(index: number): AssignmentShard | undefined {
    return this.revision(index) === undefined ? undefined : this.#shards[index]?.unpacked();
  }

  node(id: string): NodeRecord | undefined {
    return this.#nodes.get(id);
  }

  /** All live nodes, draining ones too. */
  nodes(): Iterable<NodeRecord> {
    return this.#nodes.values();
  }

  /** What some nodes hold, by node id; how much memory that takes is not kept. */
  copiesOf(nodeIds: readonly string[]): ReadonlyMap<string, readonly CopyRecord[]> {
    const found = new Map<string, CopyRecord[]>(nodeIds.map((id) => [id, []]));
    const wanted = new Set(nodeIds.map((id) => this.#numbers.find(id)));
    for (const shard of this.#shards) {
      for (const { node, copy } of shard.copies((number) => wanted.has(number))) {
        found.get(this.#numbers.id(node))?.push({ ...copy, memoryBytes: 0 });
      }
    }
    return found;
  }

  /** False until a leader's first plan was read: nothing is known to be unknown before. */
  get isComplete(): boolean {
    return this.#unread === 0;
  }

  /** Grows with each change: as long as it is the same, so is all that the table was told. */
  get changes(): number {
    return this.#changes;
  }

  /** Models in the assignment. */
  get size(): number {
    return this.#routes.size;
  }

  isKnown(model: string): boolean {
    return this.#routes.has(model);
  }

  /**
   * @param version undefined: the model's weights choose, among the versions that are READY
   * @param random in [0, 1)
   */
  resolve(model: string, version: number | undefined, random: () => number): Resolution {
    const route = this.#routes.get(model);
    if (route === undefined) {
      return this.isComplete ? unknownVersion(model, undefined) : WAITING;
    }
    if (route.kind === 'mixed') return resolveIn(route, model, version, random);
    if (version === undefined || version === route.version) return route;
    return unknownVersion(model, version);
  }

  isReady(model: string, version: number | undefined): boolean {
    return this.resolve(model, version, () => 0).kind === 'ready';
  }

  /** Ids of the nodes with a READY copy: of this version, of any version, of any model. */
  readyNodes(model?: string, version?: number): ReadonlySet<string> {
    const ids = new Set<string>();
    if (model === undefined) {
      for (const shard of this.#shards) {
        for (const { node, copy } of shard.copies()) {
          if (copy.state === 'READY') ids.add(this.#numbers.id(node));
        }
      }
      return ids;
    }
    for (const one of this.#versionsOf(model)) {
      if (version !== undefined && one.version !== version) continue;
      for (const id of one.ready) ids.add(id);
    }
    return ids;
  }

  /** No model is still on its way to its first READY copy: each serves or has failed. */
  get isSettled(): boolean {
    for (const route of this.#routes.values()) {
      if (route.kind !== 'mixed' || route.shared.length > 0) continue;
      if (route.otherwise.kind === 'waiting') return false;
    }
    return true;
  }

  /** Every known version, ordered by model, then version; or those of one model. */
  index(model?: string): readonly IndexEntry[] {
    if (model !== undefined) return indexOf(model, this.#versionsOf(model));
    const entries: IndexEntry[] = [];
    for (const name of [...this.#routes.keys()].sort()) {
      entries.push(...indexOf(name, this.#versionsOf(name)));
    }
    return entries;
  }

  #replace(held: PackedShard, shard: AssignmentShard): void {
    this.#changes += 1;
    const next = new PackedShard(shard, this.#numbers, held.names);
    const nodes = new Set<number>();
    const copies = [...held.copies()];
    for (const { node } of copies) nodes.add(node);
    next.replaceCopies(nodes, copies);
    this.#shards[shard.index] = next;
    for (const name of held.names) if (next.indexOf(name) < 0) this.#routes.delete(name);
    for (const at of next.names.keys()) this.#settle(next, at);
  }

  #settleOn(shard: PackedShard, nodes: ReadonlySet<number>): void {
    const models = new Set<string>();
    for (const { copy } of shard.copies((node) => nodes.has(node))) models.add(copy.model);
    for (const model of models) {
      const at = shard.indexOf(model);
      if (at >= 0) this.#settle(shard, at);
    }
  }

  /** Makes the answers for calls, so that a call only looks one up. */
  #settle(shard: PackedShard, at: number): void {
    const name = shard.names[at];
    if (name === undefined) return;
    this.#routes.set(name, this.#shared.of(routeOf(this.#versionsAt(shard, at))));
  }

  #versionsOf(model: string): readonly VersionState[] {
    const shard = this.#shards[shardOf(model)];
    const at = shard?.indexOf(model) ?? -1;
    return shard === undefined || at < 0 ? [] : this.#versionsAt(shard, at);
  }

  #versionsAt(shard: PackedShard, at: number): readonly VersionState[] {
    const copies: PlacedCopy[] = [];
    for (const { node, copy } of shard.copiesOf(at)) {
      const nodeId = this.#numbers.id(node);
      const record = this.#nodes.get(nodeId);
      if (record === undefined) continue;
      copies.push({ nodeId, isDraining: record.state !== 'SERVING', copy });
    }
    return versionsOf(shard.entriesOf(at), copies);
  }

  #forgetUnused(): void {
    this.#shared.sweep(this.#routes);
    this.#numbers.sweep((tell) => {
      for (const shard of this.#shards) shard.namedNodes(tell);
      for (const id of this.#nodes.keys()) tell(this.#numbers.of(id));
    });
  }
}

function unreadShard(index: number): AssignmentShard {
  return { schema: 0, index, epoch: -1, revision: 0, entries: [] };
}

function isRead(shard: PackedShard): boolean {
  return shard.revision.epoch >= 0;
}

function isNewer(shard: ShardRevision, held: ShardRevision): boolean {
  return shard.epoch > held.epoch || (shard.epoch === held.epoch && shard.revision > held.revision);
}

function indexOf(model: string, versions: readonly VersionState[]): IndexEntry[] {
  return versions
    .map(({ version, state, reason }) => ({ model, version, state, reason }))
    .sort((a, b) => a.version - b.version);
}

/** What Triton says of statistics of a model that it does not have. */
export function statisticsOfUnknown(model: string): StatusError {
  const shown = shownName(model);
  return new StatusError(Code.INVALID_ARGUMENT, `requested model '${shown}' is not available`);
}
