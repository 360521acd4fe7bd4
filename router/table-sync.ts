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
    else if (change.kind === 'nodes' || change.kind === 'copies') this.#wantsNodes = true;
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
      while (this.#wantsAll || this.#wantsNodes || this.#changedShards.size > 0) {
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

  async #round(): Promise<void> {
    const indices = [...this.#changedShards];
    const [wantsAll, wantsNodes] = [this.#wantsAll, this.#wantsNodes];
    this.#changedShards.clear();
    this.#wantsAll = false;
    this.#wantsNodes = false;
    if (wantsAll) await this.#readShards(await this.#newerShards());
    else if (indices.length > 0) await this.#readShards(indices);
    if (wantsAll || wantsNodes) await this.#readNodes();
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
    if (indices.length === 0) return;
    const { registry, table, log } = this.#options;
    const shards = await registry.shards(indices);
    const known = shards.filter(({ schema }) => schema <= REGISTRY_SCHEMA);
    if (known.length < shards.length) {
      log.error('assignment of a newer release refused: update this router');
    }
    table.addShards(known);
  }

  async #readNodes(): Promise<void> {
    const { registry, table } = this.#options;
    const nodes = (await registry.nodes()).filter(({ schema }) => schema <= REGISTRY_SCHEMA);
    const copies = await registry.copies();
    const told = new Set(nodes.map(({ id }) => id));
    const missing = [...table.nodes()].filter(({ id }) => !told.has(id));
    if (missing.length > 0) await this.#revisions();
    for (const id of told) this.#missingSinceMs.delete(id);
    if (!this.#isMemoryLost) this.#missingSinceMs.clear();
    const kept = this.#isMemoryLost ? missing.filter(({ id }) => this.#isMissedBriefly(id)) : [];
    const keptCopies = kept.map(({ id }) => [id, table.copies().get(id) ?? []] as const);
    table.setNodes([...nodes, ...kept], new Map([...copies, ...keptCopies]));
  }

  /** It stays as it was until it has had time to tell the registry of itself again. */
  #isMissedBriefly(nodeId: string): boolean {
    const nowMs = this.#options.clock.nowMs();
    const sinceMs = this.#missingSinceMs.get(nodeId) ?? nowMs;
    this.#missingSinceMs.set(nodeId, sinceMs);
    return nowMs - sinceMs < LOST_REGISTRY_GRACE_MS;
  }
}

export function startTableSync(options: TableSyncOptions): TableSync {
  return new Sync(options);
}
