// The leader's shell: owns the clock, asks registry and catalog, and lets the state machine in
// leader-state.ts decide. Of several control processes one leads at a time; when it goes, another
// takes over within a lease.
import { randomUUID } from 'node:crypto';
import type { Catalog } from '../catalog/catalog.ts';
import { CATALOG_SCHEMA } from '../catalog/documents.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { Code, hasCode } from '../common/status.ts';
import {
  type AssignmentShard,
  LEADER_LEASE_MS,
  NODE_TTL_MS,
  type Registry,
  type ShardStep,
} from '../registry/registry.ts';
import {
  isSure,
  type LeaderAction,
  type LeaderConfig,
  type LeaderEvent,
  type LeaderState,
  startLeader,
  stepLeader,
  wakeAtMs,
} from './leader-state.ts';
import {
  type PlanMaker,
  Planner,
  type PlanParts,
  type PlanReport,
  type PutOutcome,
} from './planner.ts';

export const LEASE_NAME = 'leader';

/** In a cluster: nodes are given the time to tell a registry of themselves that may be new. */
export const CLUSTER_TIMING: LeaderConfig = {
  settleMs: NODE_TTL_MS + 1_000,
  massRemovalWaitMs: NODE_TTL_MS,
};

/** All roles in one process: nothing can be lost apart from the rest. */
export const SINGLE_PROCESS_TIMING: LeaderConfig = { settleMs: 0, massRemovalWaitMs: 0 };

export interface LeaderOptions {
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  /** Of this control process; each start of it is made another owner of the lease. */
  readonly id: string;
  readonly timing: LeaderConfig;
  readonly onReport?: (report: PlanReport) => void;
  readonly onLead?: (epoch: number | undefined) => void;
  /** Who makes the plans. Default: this thread. */
  readonly planner?: (parts: PlanParts) => PlanMaker;
}

export class Leader {
  readonly #options: LeaderOptions;
  readonly #owner: string;
  readonly #planner: PlanMaker;
  readonly #unwatch: (() => void)[] = [];
  #state: LeaderState;
  #cancelWake: (() => void) | undefined;
  #knownNodes = '';
  #underWay = 0;
  #idle: (() => void) | undefined;

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#owner = `${options.id}/${randomUUID()}`;
    const { catalog, registry, log } = options;
    const parts: PlanParts = {
      put: (shard, step) => this.#put(shard, step),
      holdsMassRemovals: options.timing.massRemovalWaitMs > 0,
      onReport: (report) => options.onReport?.(report),
    };
    const nowMs = (): number => options.clock.nowMs();
    this.#planner =
      options.planner?.(parts) ?? new Planner({ ...parts, catalog, registry, log, nowMs });
    this.#state = startLeader(options.clock.nowMs());
  }

  start(): void {
    const { catalog, registry } = this.#options;
    this.#unwatch.push(
      catalog.onChange((kind, key) => {
        this.#planner.told(kind, key);
        if (kind === 'model' || kind === 'version') this.#on({ kind: 'changed' });
      }),
      registry.watch((change) => {
        const isLease = change.kind === 'lease' && change.name === LEASE_NAME;
        if (isLease || change.kind === 'all') this.#on({ kind: 'lease_changed' });
        if (change.kind !== 'lease' && change.kind !== 'assignment') this.#on({ kind: 'changed' });
      }),
    );
    this.#on({ kind: 'tick' });
  }

  /** The epoch under which it leads now; undefined: it does not. */
  epoch(): number | undefined {
    return isSure(this.#state, this.#options.clock.nowMs()) ? this.#state.epoch : undefined;
  }

  /** Gives the lease back, so that another one leads at once. */
  async stop(): Promise<void> {
    for (const unwatch of this.#unwatch) unwatch();
    this.#on({ kind: 'stop' });
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    await this.#planner.stop();
  }

  async #put(shard: AssignmentShard, step: ShardStep | undefined): Promise<PutOutcome> {
    if (this.epoch() !== shard.epoch) return 'unsure';
    return (await this.#options.registry.putShard(shard, step)) ? 'ok' : 'refused';
  }

  #on(event: LeaderEvent): void {
    const { clock, timing, log } = this.#options;
    const nowMs = clock.nowMs();
    const before = this.#state;
    const { state, actions } = stepLeader(before, event, nowMs, timing);
    this.#state = state;
    if (before.phase !== 'leading' && state.phase === 'leading') {
      log.info({ epoch: state.epoch }, 'leading');
      this.#options.onLead?.(state.epoch);
    } else if (before.phase === 'leading' && state.phase !== 'leading') {
      log.info({ epoch: before.epoch }, 'leading no more');
      this.#options.onLead?.(undefined);
    }
    for (const action of actions) this.#start(action);
    this.#planWake(nowMs);
  }

  #planWake(nowMs: number): void {
    this.#cancelWake?.();
    const atMs = wakeAtMs(this.#state);
    this.#cancelWake = Number.isFinite(atMs)
      ? this.#options.clock.after(atMs - nowMs, () => this.#on({ kind: 'tick' }))
      : undefined;
  }

  #start(action: LeaderAction): void {
    this.#underWay += 1;
    void this.#act(action).then((event) => {
      if (event !== undefined) this.#on(event);
      this.#underWay -= 1;
      if (this.#underWay === 0) this.#idle?.();
    });
  }

  /** Never throws: what fails becomes an event. */
  async #act(action: LeaderAction): Promise<LeaderEvent | undefined> {
    const { registry, clock } = this.#options;
    switch (action.kind) {
      case 'look': {
        return { kind: 'looked', isFree: await this.#attempt(() => this.#isLeaseFree()) };
      }
      case 'raise':
        return { kind: 'raised', epoch: await this.#attempt(() => this.#raise()) };
      case 'acquire': {
        const lease = this.#lease(action.epoch);
        const isOurs = await this.#attempt(() => registry.acquireLease(lease, LEADER_LEASE_MS));
        return { kind: 'acquired', epoch: action.epoch, isOurs: isOurs === true };
      }
      case 'renew': {
        const askedMs = clock.nowMs();
        const lease = this.#lease(action.epoch);
        const isOurs = await this.#attempt(() => registry.renewLease(lease, LEADER_LEASE_MS));
        if (isOurs === true) await this.#lookAtNodes();
        return { kind: 'renewed', epoch: action.epoch, askedMs, isOurs };
      }
      case 'plan': {
        const { epoch, isConfirmed } = action;
        return { kind: 'planned', epoch, outcome: await this.#planner.run({ epoch, isConfirmed }) };
      }
      case 'release':
        await this.#attempt(() => registry.releaseLease(this.#lease(action.epoch)));
        return undefined;
    }
  }

  async #attempt<T>(ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask();
    } catch (error) {
      this.#options.log.warn({ err: error }, 'registry or catalog could not be asked');
      return undefined;
    }
  }

  /** One that is still ours from before is: it is taken again under the next epoch. */
  async #isLeaseFree(): Promise<boolean> {
    const lease = await this.#options.registry.lease(LEASE_NAME);
    return lease === undefined || lease.owner === this.#owner;
  }

  #lease(epoch: number): { name: string; owner: string; epoch: number } {
    return { name: LEASE_NAME, owner: this.#owner, epoch };
  }

  /** Hints may be lost: a node that came or went is seen with each renewal. */
  async #lookAtNodes(): Promise<void> {
    const nodes = await this.#attempt(() => this.#options.registry.nodes());
    if (nodes === undefined) return;
    const known = JSON.stringify(nodes.map((node) => [node.id, node.incarnation, node.state]));
    if (known === this.#knownNodes) return;
    this.#knownNodes = known;
    this.#on({ kind: 'changed' });
  }

  /** Takes the next epoch in the catalog. */
  async #raise(): Promise<number> {
    const { catalog } = this.#options;
    const first = { schema: CATALOG_SCHEMA, epoch: 1, owner: this.#owner } as const;
    if ((await catalog.get('cluster', LEASE_NAME)) === undefined) {
      try {
        return (await catalog.create('cluster', LEASE_NAME, first)).doc.epoch;
      } catch (error) {
        if (!hasCode(error, Code.ALREADY_EXISTS)) throw error;
      }
    }
    const raised = await catalog.update('cluster', LEASE_NAME, (doc) => ({
      ...doc,
      epoch: doc.epoch + 1,
      owner: this.#owner,
    }));
    return raised.doc.epoch;
  }
}
