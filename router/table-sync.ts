// Keeps a route table in step with the registry: reads what changed when it is told of a change,
// looks for itself now and then, and goes on with what it last knew while the registry is away or
// empty.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { statusOf } from '../common/status.ts';
import {
  ASSIGNMENT_SHARDS,
  NODE_TTL_MS,
  REGISTRY_SCHEMA,
  RESYNC_MS,
  type Registry,
  type RegistryChange,
  type ShardRevision,
} from '../registry/registry.ts';
import type { RouteTable } from './route-table.ts';

/** After a read that failed. */
export const SYNC_RETRY_MS = 250;
/** A registry that lost its memory is not believed about a missing node for so long. */
export const LOST_REGISTRY_GRACE_MS = NODE_TTL_MS + 1_000;

/** Read and taken over in one go: between two of them the thread has time for calls. */
const SHARDS_A_READ = 8;
const NODES_A_READ = 16;

export interface TableSyncOptions {
  readonly registry: Registry;
  readonly table: RouteTable;
  readonly clock: Clock;
  readonly log: Log;
  /** After each read that went well, whether or not something changed. */
  onSynced(): void;
}

export interface TableSync {
  /** Resolves after a read of everything that began after this; also when that fails. */
  refresh(): Promise<void>;
  stop(): void;
}

/** Whether the registry knows less than it did: it was restarted empty, or restored from old. */
function hasLostMemory(table: RouteTable, revisions: readonly ShardRevision[]): boolean {
  const byIndex = new Map(revisions.map((one) => [one.index, one]));
  for (let index = 0; index < ASSIGNMENT_SHARDS; index++) {
    const held = table.shard(index);
    if (held === undefined) continue;
    const now = byIndex.get(index);
    if (now === undefined || now.epoch < held.epoch) return true;
    if (now.epoch === held.epoch && now.revision < held.revision) return true;
  }
  return false;
}

class Sync implements TableSync {
  readonly #options: TableSyncOptions;
  readonly #changedShards = new Set<number>();
  #wantsAll = true;
  #wantsNodes = false;
  readonly #changedNodes = new Set<string>();
  /** Of the copies that the table has, by node id. */
  readonly #stamps = new Map<string, string>();
  #isReading = false;
  #lastRead: Promise<void> = Promise.resolve();
  #isStopped = false;
  #hasFailed = false;
  /** The registry is without its memory. */
  #isMemoryLost = false;
  /** Since when a node is missing there while it is; it may lose what it was told once more. */
  readonly #missingSinceMs = new Map<string, number>();
  #stopTimer = (): void => {};
  readonly #unwatch: () => void;

  constructor(options: TableSyncOptions) {
    this.#options = options;
    this.#unwatch = options.registry.watch((change) => this.#hear(change));
    void this.#read();
  }

  async refresh(): Promise<void> {
    // What is being read may have been asked for too early.
    await this.#lastRead;
    this.#wantsAll = true;
    await this.#read();
  }

  stop(): void {
    this.#isStopped = true;
    this.#unwatch();
    this.#stopTimer();
  }

  #hear(change: RegistryChange): void {
    if (change.kind === 'all') this.#wantsAll = true;
    else if (change.kind === 'assignment') this.#changedShards.add(change.index);
    else if (change.kind === 'nodes') this.#wantsNodes = true;
    else if (change.kind === 'copies') this.#changedNodes.add(change.nodeId);
    else return;
    if (!this.#hasFailed) void this.#read();
  }

  /** One read at a time; what changes meanwhile is read in the next round. */
  #read(): Promise<void> {
    if (!this.#isReading && !this.#isStopped) this.#lastRead = this.#readRounds();
    return this.#lastRead;
  }

  async #readRounds(): Promise<void> {
    this.#isReading = true;
    this.#stopTimer();
    try {
      while (this.#hasWork()) {
        await this.#round();
        if (this.#isStopped) return;
        this.#options.onSynced();
      }
      if (this.#hasFailed) this.#options.log.info('the registry answers again');
      this.#hasFailed = false;
      this.#lookAgainIn(this.#isMemoryLost ? SYNC_RETRY_MS : RESYNC_MS);
    } catch (thrown) {
      this.#fail(thrown);
    } finally {
      this.#isReading = false;
    }
  }

  #fail(thrown: unknown): void {
    if (this.#isStopped) return;
    if (!this.#hasFailed) {
      const { message } = statusOf(thrown);
      this.#options.log.warn(
        { reason: message },
        'the registry does not answer: routing by what is known',
      );
    }
    this.#hasFailed = true;
    this.#lookAgainIn(SYNC_RETRY_MS);
  }

  #lookAgainIn(delayMs: number): void {
    this.#stopTimer = this.#options.clock.after(delayMs, () => {
      this.#wantsAll = true;
      void this.#read();
    });
  }

  #hasWork(): boolean {
    const changed = this.#changedShards.size + this.#changedNodes.size;
    return this.#wantsAll || this.#wantsNodes || changed > 0;
  }

  async #round(): Promise<void> {
    const [shards, nodes] = [[...this.#changedShards], [...this.#changedNodes]];
    const [wantsAll, wantsNodes] = [this.#wantsAll, this.#wantsNodes];
    this.#changedShards.clear();
    this.#changedNodes.clear();
    this.#wantsAll = false;
    this.#wantsNodes = false;
    await this.#readShards(wantsAll ? await this.#newerShards() : shards);
    if (wantsAll || wantsNodes) await this.#readNodes();
    const stale = wantsAll ? await this.#staleNodes() : [...nodes, ...this.#unreadNodes()];
    const isKnown = (id: string): boolean => this.#options.table.node(id) !== undefined;
    await this.#readCopies([...new Set(stale)].filter(isKnown));
  }

  async #newerShards(): Promise<readonly number[]> {
    const { table } = this.#options;
    const revisions = await this.#revisions();
    return revisions
      .filter(({ index, epoch, revision }) => {
        const held = table.shard(index);
        return held === undefined || held.epoch !== epoch || held.revision !== revision;
      })
      .map(({ index }) => index);
  }

  /** Notices on the way whether the registry still has its memory. */
  async #revisions(): Promise<readonly ShardRevision[]> {
    const { registry, table } = this.#options;
    const revisions = await registry.shardRevisions();
    this.#isMemoryLost = hasLostMemory(table, revisions);
    return revisions;
  }

  async #readShards(indices: readonly number[]): Promise<void> {
    const { registry, table, log } = this.#options;
    for (const part of inParts(indices, SHARDS_A_READ)) {
      const shards = await registry.shards(part);
      const known = shards.filter(({ schema }) => schema <= REGISTRY_SCHEMA);
      if (known.length < shards.length) {
        log.error('assignment of a newer release refused: update this router');
      }
      table.addShards(known);
    }
  }

  async #readNodes(): Promise<void> {
    const { registry, table } = this.#options;
    const nodes = (await registry.nodes()).filter(({ schema }) => schema <= REGISTRY_SCHEMA);
    const told = new Set(nodes.map(({ id }) => id));
    const missing = [...table.nodes()].filter(({ id }) => !told.has(id));
    if (missing.length > 0) await this.#revisions();
    for (const id of told) this.#missingSinceMs.delete(id);
    if (!this.#isMemoryLost) this.#missingSinceMs.clear();
    const kept = this.#isMemoryLost ? missing.filter(({ id }) => this.#isMissedBriefly(id)) : [];
    // Who started again holds what it will be read to hold, not what the one before it did.
    const others = nodes.filter(({ id, incarnation }) => {
      const known = table.node(id);
      return known !== undefined && known.incarnation !== incarnation;
    });
    for (const { id } of others) this.#stamps.delete(id);
    table.setNodes([...nodes, ...kept], new Map(others.map(({ id }) => [id, []])));
    for (const id of this.#stamps.keys()) {
      if (table.node(id) === undefined) this.#stamps.delete(id);
    }
  }

  /** Nodes whose copies are others than those that the table has. */
  async #staleNodes(): Promise<readonly string[]> {
    const stamps = await this.#options.registry.copyStamps();
    return [...stamps].filter(([id, stamp]) => this.#stamps.get(id) !== stamp).map(([id]) => id);
  }

  /** Nodes of which the table has no copies yet. */
  #unreadNodes(): readonly string[] {
    const ids = [...this.#options.table.nodes()].map(({ id }) => id);
    return ids.filter((id) => !this.#stamps.has(id) && !this.#missingSinceMs.has(id));
  }

  async #readCopies(nodeIds: readonly string[]): Promise<void> {
    const { registry, table } = this.#options;
    for (const part of inParts(nodeIds, NODES_A_READ)) {
      const found = await registry.copiesOf(part);
      table.setNodes(
        [...table.nodes()],
        new Map([...found].map(([id, { copies }]) => [id, copies])),
      );
      for (const [id, { stamp }] of found) {
        if (table.node(id) !== undefined) this.#stamps.set(id, stamp);
      }
    }
  }

  /** It stays as it was until it has had time to tell the registry of itself again. */
  #isMissedBriefly(nodeId: string): boolean {
    const nowMs = this.#options.clock.nowMs();
    const sinceMs = this.#missingSinceMs.get(nodeId) ?? nowMs;
    this.#missingSinceMs.set(nodeId, sinceMs);
    return nowMs - sinceMs < LOST_REGISTRY_GRACE_MS;
  }
}

function* inParts<T>(all: readonly T[], size: number): Iterable<readonly T[]> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}

export function startTableSync(options: TableSyncOptions): TableSync {
  return new Sync(options);
}
