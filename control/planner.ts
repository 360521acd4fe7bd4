// One pass of the leader: reads catalog and registry, plans, writes the shards that changed, as
// long as it is sure to lead.
import { type Catalog, type Kind, versionKey } from '../catalog/catalog.ts';
import type { Log } from '../common/log.ts';
import type {
  AssignmentEntry,
  AssignmentShard,
  CopyRecord,
  NodeRecord,
  Registry,
  ShardRevision,
  ShardStep,
} from '../registry/registry.ts';
import { ASSIGNMENT_SHARDS } from '../registry/registry.ts';
import { assignmentRevision, changedShards, stepTo } from './assignment.ts';
import { condemned, DeathBook } from './deaths.ts';
import type { PlanOutcome } from './leader-state.ts';
import { LoadBook } from './load-book.ts';
import { movedCopies } from './moved-copies.ts';
import { isServing, lostShare, Plans } from './plan.ts';
import { PlannedModels } from './planned-models.ts';
import { type Ring, ringCache } from './ring.ts';
import { TrafficMemory } from './traffic-memory.ts';

/** A plan that takes away more than this share of the copies since their nodes went has to wait. */
export const MASS_REMOVAL_SHARE = 0.3;

/** What the last plan saw and wrote, for metrics. */
export interface PlanReport {
  readonly revision: number;
  /** Alive, draining ones too. */
  readonly nodes: number;
  /** Copies that each node of the ring is given; all nodes of the ring are in it. */
  readonly copiesByNode: ReadonlyMap<string, number>;
  readonly copiesWanted: number;
  readonly copiesReady: number;
  /** Copies that went from one node to another, or came back after theirs was lost. */
  readonly copiesMoved: number;
  /** Reading, planning and writing. */
  readonly planSeconds: number;
}

/** 'unsure': not written, since this process may lead no more. */
export type PutOutcome = 'ok' | 'refused' | 'unsure';

/** What whoever makes plans needs of the leader. */
export interface PlanParts {
  /** Mass removals are held back once. */
  readonly holdsMassRemovals: boolean;
  /** Writes a shard, if this process is sure to lead under the shard's epoch. */
  put(shard: AssignmentShard, step: ShardStep | undefined): Promise<PutOutcome>;
  onReport(report: PlanReport): void;
}

export interface PlannerOptions extends PlanParts {
  readonly catalog: Catalog;
  /** Only read here. */
  readonly registry: Registry;
  readonly log: Log;
  readonly nowMs: () => number;
}

export interface PlanRequest {
  readonly epoch: number;
  readonly isConfirmed: boolean;
}

/** On this thread, or on another one (planner-thread.ts). */
export interface PlanMaker {
  /** A document of the catalog was written or removed by this process. */
  told(kind: Kind, key: string): void;
  /** One at a time. Never fails: what does is 'failed'. */
  run(request: PlanRequest): Promise<PlanOutcome>;
  stop(): Promise<void>;
}

/** What nodes say of their load is read so often, with the plan that comes then. */
export const LOADS_LOOK_MS = 5_000;

const ALL_SHARDS = Array.from({ length: ASSIGNMENT_SHARDS }, (_, index) => index);

export class Planner implements PlanMaker {
  readonly #options: PlannerOptions;
  readonly #ringOf = ringCache();
  readonly #plans = new Plans();
  readonly #deaths = new DeathBook();
  readonly #models: PlannedModels;
  readonly #loads = new LoadBook();
  readonly #traffic: TrafficMemory;
  #loadsAtMs = Number.NEGATIVE_INFINITY;
  /** The entries of #held as one list; undefined: not put together yet. */
  #entries: readonly AssignmentEntry[] | undefined;
  /**
   * What the registry holds, as long as one epoch lasts: nobody else writes then. A registry that
   * lost shards, or went back, is not believed: what was last known is planned on.
   */
  #held = new Map<number, AssignmentShard>();
  #heldEpoch = 0;
  #ledEpoch = 0;
  /**
   * By shard: the revision last given away. A write whose answer was lost may have been read; its
   * number never stands for anything else.
   */
  readonly #tried = new Map<number, number>();
  /** What is lost now has been waited for. */
  #isLossKnown = false;

  constructor(options: PlannerOptions) {
    this.#options = options;
    this.#models = new PlannedModels(options);
    this.#traffic = new TrafficMemory(options);
  }

  told(kind: Kind, key: string): void {
    this.#models.told(kind, key);
  }

  async stop(): Promise<void> {}

  async run(request: PlanRequest): Promise<PlanOutcome> {
    try {
      return await this.#run(request);
    } catch (error) {
      this.#heldEpoch = 0;
      this.#options.log.warn({ err: error }, 'the plan could not be made, it is tried again');
      return 'failed';
    }
  }

  async #run(request: PlanRequest): Promise<PlanOutcome> {
    const { registry, log, nowMs } = this.#options;
    const startMs = nowMs();
    await this.#readShards(request.epoch);
    const gone = lostShards(this.#held.values(), await registry.shardRevisions());
    if (gone.size > 0 && !this.#isLossKnown) {
      log.warn({ shards: gone.size }, 'the registry lost a part of the assignment');
      this.#isLossKnown = true;
      return 'lost';
    }
    const nodes = await registry.nodes();
    const copies = await registry.copies();
    const previous = this.#entries ?? [...this.#held.values()].flatMap(({ entries }) => entries);
    const lost = lostShare(previous, nodes);
    if (lost > MASS_REMOVAL_SHARE && this.#options.holdsMassRemovals && !request.isConfirmed) {
      log.warn({ lost, nodes: nodes.length }, 'many copies lost their node: waiting for it');
      return 'held';
    }
    this.#deaths.update({ nodes, copies, previous, nowMs: this.#options.nowMs() });
    await this.#quarantine(copies);
    // A registry without any assignment: what the nodes hold says what there was.
    const known = previous.length > 0 ? previous : readyCopies(copies);
    const { models, unread } = await this.#models.read(known, request.epoch);
    const ring = this.#ringOf(nodes.filter(isServing).map(({ id }) => id));
    await this.#readLoads(nodes);
    const [sizes, deaths] = [this.#loads, this.#deaths];
    const planned = this.#plans.make({ models, nodes, copies, previous, ring, sizes, deaths });
    const kept = unread.size === 0 ? [] : previous.filter(({ model }) => unread.has(model));
    const entries = kept.length === 0 ? planned : [...planned, ...kept];
    this.#entries = undefined;
    const outcome = await this.#write(entries, gone, request);
    if (outcome !== 'done') return outcome;
    this.#entries = entries;
    await this.#traffic.keep(entries, request.epoch);
    const copiesMoved = movedCopies(previous, entries);
    const planSeconds = (nowMs() - startMs) / 1_000;
    this.#report(entries, nodes, copies, ring, { copiesMoved, planSeconds });
    return 'done';
  }

  async #readShards(epoch: number): Promise<void> {
    if (this.#heldEpoch === epoch) return;
    this.#entries = undefined;
    const shards = await this.#options.registry.shards(ALL_SHARDS);
    for (const shard of shards) {
      const known = this.#held.get(shard.index);
      if (known === undefined || isAsNew(shard, known)) this.#held.set(shard.index, shard);
    }
    this.#heldEpoch = epoch;
    if (this.#ledEpoch === epoch) return;
    this.#ledEpoch = epoch;
    const entries = [...this.#held.values()].flatMap((shard) => shard.entries);
    this.#loads.seed(entries, this.#options.nowMs(), await this.#traffic.recall());
    // Who leads anew has waited already.
    this.#isLossKnown = true;
  }

  /** A plan without news of the load is better than none. */
  async #readLoads(nodes: readonly NodeRecord[]): Promise<void> {
    const { registry, nowMs, log } = this.#options;
    if (nowMs() - this.#loadsAtMs < LOADS_LOOK_MS) return;
    try {
      const loads = await registry.loadsOf(nodes.map(({ id }) => id));
      this.#loadsAtMs = nowMs();
      this.#loads.update(loads.values(), this.#loadsAtMs);
    } catch (error) {
      log.debug({ err: error }, 'the load of the nodes could not be read');
    }
  }

  /** A version that keeps taking its node down is not to take down the next one. */
  async #quarantine(copies: ReadonlyMap<string, readonly CopyRecord[]>): Promise<void> {
    const { catalog, log } = this.#options;
    for (const { copy, reason } of condemned(this.#deaths, copies).values()) {
      const key = versionKey(copy.model, copy.version);
      const entry = await catalog.get('version', key);
      const isSame = entry?.doc.manifestSha256 === copy.manifestSha256;
      if (!isSame || entry.doc.state !== 'READY') continue;
      await catalog.update('version', key, (doc) =>
        doc.state === 'READY' ? { ...doc, state: 'QUARANTINED', reason } : doc,
      );
      log.error({ model: copy.model, version: copy.version, reason }, 'quarantined');
    }
  }

  async #write(
    entries: readonly AssignmentEntry[],
    lost: ReadonlySet<number>,
    { epoch }: PlanRequest,
  ): Promise<PlanOutcome> {
    const { put, log } = this.#options;
    const changed = changedShards(entries, this.#held, epoch, lost);
    for (const made of changed) {
      const tried = this.#tried.get(made.index) ?? 0;
      const shard = { ...made, revision: Math.max(made.revision, tried + 1) };
      this.#tried.set(shard.index, shard.revision);
      const outcome = await put(shard, stepTo(shard, this.#held.get(shard.index)));
      if (outcome === 'unsure') return 'failed';
      if (outcome === 'refused') {
        log.warn({ epoch, shard: shard.index }, 'another leader writes under a newer epoch');
        this.#heldEpoch = 0;
        return 'fenced';
      }
      this.#held.set(shard.index, shard);
    }
    this.#isLossKnown = false;
    if (changed.length > 0) log.info({ epoch, shards: changed.length }, 'assignment written');
    return 'done';
  }

  #report(
    entries: readonly AssignmentEntry[],
    nodes: readonly NodeRecord[],
    copies: ReadonlyMap<string, readonly CopyRecord[]>,
    ring: Ring,
    more: Pick<PlanReport, 'copiesMoved' | 'planSeconds'>,
  ): void {
    const copiesByNode = new Map(ring.nodeIds.map((id) => [id, 0]));
    let copiesWanted = 0;
    for (const { nodes: wanted } of entries) {
      copiesWanted += wanted.length;
      for (const id of wanted) {
        const count = copiesByNode.get(id);
        if (count !== undefined) copiesByNode.set(id, count + 1);
      }
    }
    let copiesReady = 0;
    for (const list of copies.values()) {
      for (const { state } of list) if (state === 'READY') copiesReady += 1;
    }
    this.#options.onReport({
      revision: assignmentRevision(this.#held.values()),
      nodes: nodes.length,
      copiesByNode,
      copiesWanted,
      copiesReady,
      ...more,
    });
  }
}

/** A registry can lose a part: one server of a cluster, or the last writes in a fail-over. */
function lostShards(
  held: Iterable<ShardRevision>,
  found: readonly ShardRevision[],
): ReadonlySet<number> {
  const byIndex = new Map(found.map((one) => [one.index, one]));
  const lost = new Set<number>();
  for (const shard of held) {
    const there = byIndex.get(shard.index);
    if (there === undefined || !isAsNew(there, shard)) lost.add(shard.index);
  }
  return lost;
}

function isAsNew(shard: ShardRevision, known: ShardRevision): boolean {
  if (shard.epoch !== known.epoch) return shard.epoch > known.epoch;
  return shard.revision >= known.revision;
}

function readyCopies(copies: ReadonlyMap<string, readonly CopyRecord[]>): readonly CopyRecord[] {
  return [...copies.values()].flat().filter(({ state }) => state === 'READY');
}
