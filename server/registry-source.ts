// A node of a cluster: it says that it lives and what it holds, and holds what the assignment
// wants of it. Without the registry it goes on with what it last knew, which is kept on its disk
// too.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { statusOf } from '../common/status.ts';
import {
  ASSIGNMENT_SHARDS,
  HEARTBEAT_MS,
  type ModelLoad,
  NODE_TTL_MS,
  type NodeRecord,
  REGISTRY_SCHEMA,
  RESYNC_MS,
  type Registry,
  type RegistryChange,
  type ShardStep,
} from '../registry/registry.ts';
import { Assignment } from './assignment.ts';
import type { Copies } from './copies.ts';
import type { CopyStatus, Wanted } from './versions.ts';

/** While a copy of ours waits for its new home: how often it looks whether that is READY. */
const HANDOVER_LOOK_MS = 5_000;
/** Between the end of a beat that took long and the next one. */
const MIN_BEAT_PAUSE_MS = 10;
/** The load is an average over so long; it is told only when it is another one. */
export const LOAD_PERIOD_MS = 5_000;

export interface AssignmentFile {
  read(): Promise<string | undefined>;
  write(text: string): Promise<void>;
}

export interface RegistrySourceOptions {
  readonly registry: Registry;
  readonly node: Omit<NodeRecord, 'schema' | 'state'>;
  readonly copies: Pick<Copies, 'want' | 'statuses' | 'records'>;
  readonly file: AssignmentFile;
  readonly clock: Clock;
  readonly log: Log;
  /** What is told of the load, for the time since it was last asked. Absent: nothing is told. */
  readonly loads?: () => Promise<readonly ModelLoad[]>;
  /** Default: one of its own, that knows nothing yet. */
  readonly assignment?: Assignment;
}

export class RegistrySource {
  readonly #options: RegistrySourceOptions;
  readonly #assignment: Assignment;
  #state: NodeRecord['state'] = 'SERVING';
  /** The registry knows this incarnation, as far as we know. */
  #isAnnounced = false;
  /** Manifests of the copies that the disk's assignment had at the start. */
  #restored: ReadonlySet<string> = new Set();
  #isReachable = true;
  /** The last heartbeat was answered. */
  #isHeard = true;
  #mustReport = false;
  #isReporting = false;
  #pending: Set<number> | 'all' = 'all';
  #mustPlan = false;
  #isSyncing = false;
  #isSynced = false;
  #lastSyncMs = Number.NEGATIVE_INFINITY;
  #lastPlanMs = Number.NEGATIVE_INFINITY;
  #loadsAtMs = Number.NEGATIVE_INFINITY;
  /** As the registry was told; undefined: it was not. */
  #toldLoads: string | undefined;
  #stopWatching: (() => void) | undefined;
  #cancelBeat: (() => void) | undefined;
  #isStopped = false;

  constructor(options: RegistrySourceOptions) {
    this.#options = options;
    this.#assignment = options.assignment ?? new Assignment(options.node.id);
  }

  /** Resolves when the registry was asked once; it need not have answered. */
  async start(): Promise<void> {
    const { file, registry, log } = this.#options;
    const stored = await file.read();
    if (stored !== undefined) {
      if (this.#assignment.restore(stored)) {
        this.#isSynced = true;
        const wanted = this.#assignment.wanted([], new Map());
        this.#restored = new Set(wanted.map(({ manifestSha256 }) => manifestSha256));
        this.#want(wanted);
      } else log.warn('the assignment kept on disk is not readable: it is left aside');
    }
    this.#stopWatching = registry.watch((change) => this.#hint(change));
    await this.#beat();
  }

  /** What is wanted of this node is known, from the registry or from the disk. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** To be called when copies have changed. */
  onChange(): void {
    this.#mustReport = true;
    void this.#report();
  }

  /** Routers are to choose other nodes from now on. */
  async drain(): Promise<void> {
    this.#state = 'DRAINING';
    this.#isAnnounced = false;
    await this.#attempt(() => this.#announce());
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelBeat?.();
    this.#stopWatching?.();
    const { registry, node } = this.#options;
    await this.#attempt(() => registry.removeNode(node.id, node.incarnation));
  }

  async #beat(): Promise<void> {
    const { registry, node, clock } = this.#options;
    const startMs = clock.nowMs();
    await this.#attempt(async () => {
      const { id, incarnation } = node;
      // A registry that hears us, and that we do not hear, is not to count us as alive: most
      // likely nobody's calls arrive here either. So it is asked first for something else.
      if (!this.#isHeard) await registry.shardRevisions();
      this.#isHeard = false;
      this.#isAnnounced &&= await registry.heartbeat(id, incarnation, NODE_TTL_MS);
      if (!this.#isAnnounced && !this.#isStopped) await this.#announce();
      this.#isHeard = true;
    });
    if (this.#isStopped) return;
    const nowMs = clock.nowMs();
    if (nowMs - this.#lastSyncMs >= RESYNC_MS) {
      this.#pending = 'all';
      this.#mustReport = true;
    }
    if (this.#mustReport) void this.#report();
    if (nowMs - this.#loadsAtMs >= LOAD_PERIOD_MS) {
      this.#loadsAtMs = nowMs;
      void this.#tellLoads();
    }
    if (nowMs - this.#lastPlanMs >= HANDOVER_LOOK_MS && this.#isLeaving()) this.#mustPlan = true;
    // From beat to beat: one that waited in vain is not to cost the time of two.
    const nextMs = Math.max(MIN_BEAT_PAUSE_MS, startMs + HEARTBEAT_MS - nowMs);
    this.#cancelBeat = clock.after(nextMs, () => void this.#beat());
    await this.#sync();
  }

  async #announce(): Promise<void> {
    const { registry, node, copies } = this.#options;
    const record = { ...node, schema: REGISTRY_SCHEMA, state: this.#state };
    this.#mustReport = false;
    await registry.putNode(record, copies.records(), NODE_TTL_MS).catch((error: unknown) => {
      this.#mustReport = true;
      throw error;
    });
    this.#isAnnounced = true;
    this.#toldLoads = undefined;
    // It did not know us: it may have lost more, or just come back.
    this.#pending = 'all';
  }

  /**
   * Tells the copies until the last change is told; what fails is tried again with the next beat.
   */
  async #report(): Promise<void> {
    if (this.#isReporting || !this.#isAnnounced) return;
    const { registry, node, copies } = this.#options;
    this.#isReporting = true;
    await this.#attempt(async () => {
      while (this.#mustReport && !this.#isStopped) {
        this.#mustReport = false;
        try {
          const isKnown = await registry.putCopies(node.id, node.incarnation, copies.records());
          if (!isKnown) await this.#announce();
        } catch (error) {
          this.#mustReport = true;
          throw error;
        }
      }
    });
    this.#isReporting = false;
  }

  /** They only help to plan: what can't be told now is left out. */
  async #tellLoads(): Promise<void> {
    const { registry, node, loads, log } = this.#options;
    if (loads === undefined || !this.#isAnnounced) return;
    try {
      const now = await loads();
      const text = JSON.stringify(now);
      if (text === this.#toldLoads || this.#isStopped) return;
      const isKnown = await registry.putLoads(node.id, node.incarnation, now);
      this.#toldLoads = isKnown ? text : undefined;
    } catch (error) {
      this.#toldLoads = undefined;
      log.debug({ err: error }, 'the load of the models could not be told');
    }
  }

  #hint(change: RegistryChange): void {
    if (change.kind === 'all') {
      this.#pending = 'all';
      // It may be another server by now, which knows this node but not its latest copies.
      this.#mustReport = true;
      void this.#report();
      this.#mustPlan ||= this.#isLeaving();
      void this.#sync();
    } else if (change.kind === 'assignment') {
      if (change.step !== undefined && this.#passesOver(change.step)) return;
      if (this.#pending !== 'all') this.#pending.add(change.index);
      void this.#sync();
    } else if (change.kind === 'copies' && change.nodeId !== this.#options.node.id) {
      if (!this.#isLeaving()) return;
      this.#mustPlan = true;
      void this.#sync();
    }
  }

  #passesOver(step: ShardStep): boolean {
    const isPending = this.#pending === 'all' || this.#pending.has(step.to.index);
    return !isPending && this.#assignment.passOver(step, this.#options.copies.statuses());
  }

  #isLeaving(): boolean {
    return this.#assignment.leaving(this.#options.copies.statuses());
  }

  get #hasWork(): boolean {
    return this.#pending === 'all' || this.#pending.size > 0 || this.#mustPlan;
  }

  /** Fetches what is pending, then wants what follows from it; hints meanwhile are not lost. */
  async #sync(): Promise<void> {
    if (this.#isSyncing || !this.#hasWork) return;
    this.#isSyncing = true;
    await this.#attempt(async () => {
      while (!this.#isStopped && (this.#pending === 'all' || this.#pending.size > 0)) {
        await this.#fetch();
      }
      while (!this.#isStopped && this.#mustPlan) {
        this.#mustPlan = false;
        await this.#plan();
      }
    });
    this.#isSyncing = false;
  }

  async #fetch(): Promise<void> {
    const { registry, clock, log, file } = this.#options;
    const asked = this.#pending;
    this.#pending = new Set();
    try {
      const indices = asked === 'all' ? await this.#newer() : [...asked];
      const shards = indices.length === 0 ? [] : await registry.shards(indices);
      let isNews = !this.#isSynced;
      for (const shard of shards) {
        const taken = this.#assignment.take(shard);
        if (taken === 'accepted') isNews = true;
        else log.debug({ shard: shard.index, epoch: shard.epoch, taken }, 'shard left aside');
      }
      if (asked === 'all') {
        this.#isSynced = true;
        this.#lastSyncMs = clock.nowMs();
      }
      if (!isNews) return;
      this.#mustPlan = true;
      await file.write(this.#assignment.encode()).catch((error: unknown) => {
        log.warn({ err: error }, 'the assignment could not be kept on disk');
      });
    } catch (error) {
      this.#pending = 'all';
      throw error;
    }
  }

  async #newer(): Promise<readonly number[]> {
    const revisions = await this.#options.registry.shardRevisions();
    return revisions
      .filter(({ index }) => index >= 0 && index < ASSIGNMENT_SHARDS)
      .filter((revision) => this.#assignment.isNews(revision))
      .map(({ index }) => index);
  }

  async #plan(): Promise<void> {
    const { registry, copies, clock } = this.#options;
    try {
      const others = this.#isLeaving() ? await registry.copies() : new Map();
      this.#lastPlanMs = clock.nowMs();
      // One that is on its way is held too: its new home may take longer.
      const held = copies
        .statuses()
        .filter(({ state }) => state === 'READY' || state === 'LOADING');
      const wanted = this.#assignment.wanted(held, others);
      this.#want(wanted.map((one) => (this.#comesBack(one, held) ? loadedToo(one) : one)));
    } catch (error) {
      this.#mustPlan = true;
      throw error;
    }
  }

  /**
   * A copy of before the restart, which went elsewhere meanwhile and is not READY there: its files
   * are here, and may be nowhere else within reach.
   */
  #comesBack({ isKeptOnly, manifestSha256 }: Wanted, held: readonly CopyStatus[]): boolean {
    if (!isKeptOnly || !this.#restored.has(manifestSha256)) return false;
    return held.some((copy) => copy.manifestSha256 === manifestSha256 && copy.state === 'LOADING');
  }

  #want(wanted: readonly Wanted[]): void {
    this.#options.copies.want(wanted, () => this.#assignment.givenUp());
  }

  /** The registry may be away: said once when it goes, once when it is back. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    const { log } = this.#options;
    try {
      await work();
      if (!this.#isReachable) log.info('the registry answers again');
      this.#isReachable = true;
    } catch (error) {
      if (this.#isReachable) {
        const { message } = statusOf(error);
        log.warn({ reason: message }, 'the registry does not answer: going on with what is known');
      }
      this.#isReachable = false;
    }
  }
}

function loadedToo(wanted: Wanted): Wanted {
  return { ...wanted, isKeptOnly: false };
}
