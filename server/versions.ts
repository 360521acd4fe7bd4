// Which copies of model versions to load and to unload, from what is wanted and what has happened.
// Pure: events and the time in, actions out. What it promises:
// - a version that serves goes only when a wanted version of its model is READY in its place, or
//   when its model is wanted here no more; so a failed load never displaces it;
// - at most `concurrentLoads` loads at a time, what is called most first, else in the order in
//   which they were wanted;
// - a version on demand is loaded when it is called, and leaves, the longest unused first, when
//   others need the memory;
// - a load that fails is tried again with growing pauses: a bounded number of times, but for ever
//   where the disk, the network or a store is at fault, since these come back without us.
import type { CopyRecord, CopyState } from '../registry/registry.ts';
import {
  backOff,
  type Called,
  DEMAND_LIMITS,
  DemandIndex,
  type DemandLimits,
  type DemandState,
  demandState,
  roomFor,
} from './on-demand.ts';

export interface VersionLimits extends DemandLimits {
  /** Loading takes memory and processor from serving: more wait their turn. */
  readonly concurrentLoads: number;
  /** After so many of its own failures the copy stays FAILED until it is wanted anew. */
  readonly loadAttempts: number;
  /** Pause before the second attempt; it doubles with each. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
  /** A copy that was READY for so long and then fails starts counting its attempts anew. */
  readonly stableMs: number;
  /** A copy that may go stays so long yet: routers that do not know it still send calls to it. */
  readonly lingerMs: number;
}

export const VERSION_LIMITS: VersionLimits = {
  concurrentLoads: 2,
  loadAttempts: 5,
  retryMs: 1_000,
  maxRetryMs: 30_000,
  stableMs: 60_000,
  lingerMs: 1_000,
  ...DEMAND_LIMITS,
};

/** One content of one version of one model; another content is another copy. */
export interface Copy {
  readonly model: string;
  readonly version: number;
  readonly manifestSha256: string;
}

export interface Wanted extends Copy {
  /** As AssignmentEntry.weight. */
  readonly weight: number;
  /** Stays if it is loaded (its new home is not READY yet), but is not loaded for that. */
  readonly isKeptOnly: boolean;
  /** As AssignmentEntry.deaths; undefined: nobody else counts them. */
  readonly deaths?: number;
  /** As AssignmentEntry.trafficRank. */
  readonly trafficRank?: number;
  /** Loaded when it is called. Absent: it is loaded at once. */
  readonly isOnDemand?: boolean;
  /** About what it takes. Absent: not known before it was loaded. */
  readonly costBytes?: number;
}

export type Action = { readonly kind: 'load' | 'unload'; readonly copy: Copy };

/** How a load, or a loaded copy, failed. */
export interface CopyFailure {
  readonly reason: string;
  /**
   * 'retry': it may go better later. 'outside': it will, once a disk, a network or a store is well
   * again. 'busy': later, but not before `freed`. 'final': the same would happen. 'quarantined': it
   * kills.
   */
  readonly outlook: 'retry' | 'outside' | 'busy' | 'final' | 'quarantined';
}

export interface CopyStatus extends Copy {
  readonly state: CopyState;
  readonly reason: string;
  readonly memoryBytes: number;
  /** Undefined: no longer wanted. */
  readonly weight: number | undefined;
}

type Phase = keyof typeof REPORTED;

interface Entry extends DemandState {
  readonly copy: Copy;
  wanted: Wanted | undefined;
  phase: Phase;
  reason: string;
  memoryBytes: number;
  attempts: number;
  /** A thread is still busy with a load of it that was given up. */
  isBusy: boolean;
  /** Moment of the next attempt, while queued or failed; Infinity: none. */
  retryAtMs: number;
  readySinceMs: number;
  unwantedSinceMs: number;
}

const REPORTED = {
  dormant: 'UNLOADING',
  queued: 'LOADING',
  loading: 'LOADING',
  ready: 'READY',
  unloading: 'UNLOADING',
  failing: 'FAILED',
  failed: 'FAILED',
  quarantined: 'QUARANTINED',
} as const satisfies Record<string, CopyState>;

function keyOf({ model, version, manifestSha256 }: Copy): string {
  return `${model}/${version}/${manifestSha256}`;
}

export class Versions {
  readonly #limits: VersionLimits;
  /** In the order in which they were first wanted. */
  readonly #entries = new Map<string, Entry>();
  #tickedMs = 0;
  readonly #onDemand = new DemandIndex<Entry>();

  constructor(limits: VersionLimits = VERSION_LIMITS) {
    this.#limits = limits;
  }

  /** Replaces what is wanted. */
  want(wanted: readonly Wanted[], nowMs: number): readonly Action[] {
    const byKey = new Map(wanted.map((one) => [keyOf(one), one]));
    for (const [key, entry] of this.#entries) {
      const one = byKey.get(key);
      if (entry.wanted !== undefined && one === undefined) entry.unwantedSinceMs = nowMs;
      entry.wanted = one;
    }
    for (const [key, one] of byKey) {
      if (this.#entries.has(key) || one.isKeptOnly) continue;
      const { model, version, manifestSha256 } = one;
      this.#entries.set(key, {
        copy: { model, version, manifestSha256 },
        wanted: one,
        phase: one.isOnDemand === true ? 'dormant' : 'queued',
        reason: '',
        memoryBytes: 0,
        attempts: 0,
        isBusy: false,
        retryAtMs: nowMs,
        readySinceMs: 0,
        unwantedSinceMs: 0,
        ...demandState(nowMs),
      });
    }
    for (const entry of this.#entries.values()) {
      if (entry.phase !== 'dormant' || entry.wanted === undefined) continue;
      if (entry.wanted.isOnDemand === true) continue;
      entry.phase = 'queued';
      entry.retryAtMs = nowMs;
    }
    this.#onDemand.set(this.#entries.values());
    return this.tick(nowMs);
  }

  /** Whether any version is on demand. */
  get hasOnDemand(): boolean {
    return this.#onDemand.size > 0;
  }

  isOnDemand(copy: Copy): boolean {
    return this.#entries.get(keyOf(copy))?.wanted?.isOnDemand === true;
  }

  /** As `called`, without being a call. @param version undefined: the one with the most weight */
  stateOf(model: string, version: number | undefined): Called {
    const entry = this.#onDemand.find(model, version);
    if (entry === undefined) return 'unknown';
    if (entry.phase === 'ready') return 'ready';
    const isOver = entry.phase === 'quarantined' || this.#isBackingOff(entry);
    return isOver ? { reason: entry.reason } : 'coming';
  }

  /** A call came for it: it is loaded if need be. */
  called(model: string, version: number | undefined, nowMs: number): readonly Action[] {
    const entry = this.#onDemand.find(model, version);
    if (entry === undefined) return [];
    entry.usedMs = nowMs;
    if (entry.phase === 'unloading') entry.isCalled = true;
    if (entry.phase !== 'dormant') return [];
    entry.phase = 'queued';
    entry.retryAtMs = nowMs;
    return this.tick(nowMs);
  }

  loaded(copy: Copy, memoryBytes: number, nowMs: number): readonly Action[] {
    const entry = this.#entries.get(keyOf(copy));
    if (entry?.phase === 'loading') {
      entry.phase = 'ready';
      entry.reason = '';
      entry.memoryBytes = memoryBytes;
      entry.readySinceMs = nowMs;
      entry.knownBytes = memoryBytes;
      entry.backOffs = 0;
      if (entry.wanted?.isOnDemand === true) entry.attempts = 0;
    }
    return this.tick(nowMs);
  }

  loadFailed(copy: Copy, failure: CopyFailure, nowMs: number): readonly Action[] {
    const entry = this.#entries.get(keyOf(copy));
    if (entry?.phase === 'loading') this.#fail(entry, failure, nowMs);
    return this.tick(nowMs);
  }

  /** The thread that was still busy with a load of this copy is free. */
  freed(copy: Copy, nowMs: number): readonly Action[] {
    const entry = this.#entries.get(keyOf(copy));
    if (entry?.phase === 'failed' && entry.isBusy) {
      if (entry.attempts < this.#limits.loadAttempts) entry.retryAtMs = nowMs;
      entry.isBusy = false;
    }
    return this.tick(nowMs);
  }

  /** A READY copy failed: it is unloaded first, whatever stands in its place. */
  copyFailed(copy: Copy, failure: CopyFailure, nowMs: number): readonly Action[] {
    const entry = this.#entries.get(keyOf(copy));
    if (entry?.phase !== 'ready') return this.tick(nowMs);
    if (nowMs - entry.readySinceMs >= this.#limits.stableMs) entry.attempts = 0;
    this.#fail(entry, failure, nowMs);
    if (failure.outlook !== 'quarantined') entry.phase = 'failing';
    return [{ kind: 'unload', copy: entry.copy }, ...this.tick(nowMs)];
  }

  unloaded(copy: Copy, nowMs: number): readonly Action[] {
    const entry = this.#entries.get(keyOf(copy));
    if (entry !== undefined) {
      entry.memoryBytes = 0;
      if (entry.phase === 'failing') entry.phase = 'failed';
      else if (entry.phase === 'unloading') {
        entry.phase = entry.wanted?.isOnDemand === true && !entry.isCalled ? 'dormant' : 'queued';
        entry.isCalled = false;
        entry.attempts = 0;
        entry.retryAtMs = nowMs;
      }
    }
    return this.tick(nowMs);
  }

  /** Tries a copy again that had failed for good, or waits for its next attempt. */
  retry(copy: Copy, nowMs: number): readonly Action[] {
    const entry = this.#entries.get(keyOf(copy));
    if (entry?.phase === 'failed' || entry?.phase === 'quarantined') {
      entry.phase = 'queued';
      entry.attempts = 0;
      entry.retryAtMs = nowMs;
    }
    return this.tick(nowMs);
  }

  /** What follows from the time, and from what happened before. */
  tick(nowMs: number): readonly Action[] {
    this.#tickedMs = nowMs;
    const actions: Action[] = [];
    let loading = 0;
    for (const [key, entry] of this.#entries) {
      if (entry.phase === 'loading') loading += 1;
      else if (entry.phase === 'ready' && entry.wanted === undefined) {
        if (!this.#isReplaced(entry) || this.#goesAtMs(entry) > nowMs) continue;
        entry.phase = 'unloading';
        actions.push({ kind: 'unload', copy: entry.copy });
      } else if (entry.wanted === undefined || entry.wanted.isKeptOnly) {
        if (isIdle(entry)) this.#entries.delete(key);
      }
    }
    for (const entry of this.#inTurn(nowMs)) {
      if (loading >= this.#limits.concurrentLoads) break;
      if (entry.phase === 'failed' && this.#isBackingOff(entry)) {
        entry.phase = 'dormant';
        continue;
      }
      if (!this.#makeRoom(entry, nowMs, actions)) continue;
      entry.phase = 'loading';
      entry.attempts += 1;
      loading += 1;
      actions.push({ kind: 'load', copy: entry.copy });
    }
    return actions;
  }

  /** Those to load now: what is called most, then what was called or failed first. */
  #inTurn(nowMs: number): readonly Entry[] {
    const due = [...this.#entries.values()].filter(
      ({ phase, retryAtMs }) => (phase === 'queued' || phase === 'failed') && retryAtMs <= nowMs,
    );
    const since = this.#onDemand.size === 0 ? () => 0 : ({ retryAtMs }: Entry) => retryAtMs;
    const trafficOf = ({ wanted }: Entry): number => wanted?.trafficRank ?? 0;
    return due.sort((a, b) => trafficOf(b) - trafficOf(a) || since(a) - since(b));
  }

  /** When `tick` has something to do next, unless something happens before; undefined: never. */
  nextMs(): number | undefined {
    let nextMs = Number.POSITIVE_INFINITY;
    const isWaiting = [...this.#entries.values()].some(({ phase }) => phase === 'queued');
    for (const entry of this.#entries.values()) {
      if (entry.phase === 'failed') nextMs = Math.min(nextMs, entry.retryAtMs);
      else if (entry.phase === 'ready' && entry.wanted?.isOnDemand === true && isWaiting) {
        const mayGoMs = entry.readySinceMs + this.#limits.minStayMs;
        if (mayGoMs > this.#tickedMs) nextMs = Math.min(nextMs, mayGoMs);
      } else if (entry.phase === 'ready' && entry.wanted === undefined && this.#isReplaced(entry)) {
        nextMs = Math.min(nextMs, this.#goesAtMs(entry));
      }
    }
    return Number.isFinite(nextMs) ? nextMs : undefined;
  }

  /** Every copy that is held, or was tried and failed; in the order in which they were wanted. */
  statuses(): readonly CopyStatus[] {
    const shown = [...this.#entries.values()].filter(({ phase }) => phase !== 'dormant');
    return shown.map((entry) => ({
      ...entry.copy,
      state: REPORTED[entry.phase],
      reason: entry.reason,
      memoryBytes: entry.memoryBytes,
      weight: entry.wanted?.weight,
    }));
  }

  /** The same as the registry is told. */
  records(): readonly CopyRecord[] {
    return this.statuses().map(({ weight: _, ...record }) => record);
  }

  #fail(entry: Entry, { reason, outlook }: CopyFailure, nowMs: number): void {
    const { loadAttempts, retryMs, maxRetryMs } = this.#limits;
    const isLeft = outlook === 'retry' && entry.attempts < loadAttempts;
    const again = isLeft || outlook === 'outside';
    const pauseMs = Math.min(maxRetryMs, retryMs * 2 ** Math.max(0, entry.attempts - 1));
    entry.phase = outlook === 'quarantined' ? 'quarantined' : 'failed';
    entry.reason = reason;
    entry.memoryBytes = 0;
    entry.isBusy = outlook === 'busy';
    entry.retryAtMs = again ? nowMs + pauseMs : Number.POSITIVE_INFINITY;
    const isDemanded = entry.wanted?.isOnDemand === true;
    if (!isDemanded || (outlook !== 'retry' && outlook !== 'final')) return;
    if (outlook === 'final') entry.attempts = Math.max(entry.attempts, this.#limits.demandAttempts);
    if (this.#isBackingOff(entry)) backOff(entry, this.#limits, nowMs);
  }

  #isBackingOff({ wanted, phase, attempts }: Entry): boolean {
    const hasFailed = phase === 'failed' || phase === 'failing';
    return hasFailed && wanted?.isOnDemand === true && attempts >= this.#limits.demandAttempts;
  }

  /**
   * Whether it may be loaded now. Else room is being made, or none can be: a version on demand is
   * then refused; one that is to be there is loaded all the same, for the plan has counted on it.
   */
  #makeRoom(entry: Entry, nowMs: number, actions: Action[]): boolean {
    const { outcome, leaving } = roomFor(entry, this.#entries.values(), this.#limits, nowMs);
    for (const other of leaving) {
      other.phase = 'unloading';
      actions.push({ kind: 'unload', copy: other.copy });
    }
    if (outcome !== 'never') return outcome === 'go';
    if (entry.wanted?.isOnDemand !== true) return true;
    entry.phase = 'failed';
    const { memoryLimitBytes: limit } = this.#limits;
    entry.reason = `no room for it under the memory limit of ${limit} bytes`;
    entry.attempts = this.#limits.demandAttempts;
    backOff(entry, this.#limits, nowMs);
    return false;
  }

  #goesAtMs({ unwantedSinceMs }: Entry): number {
    return unwantedSinceMs + this.#limits.lingerMs;
  }

  /** Whether a READY copy that is not wanted itself may go. */
  #isReplaced({ copy }: Entry): boolean {
    const rivals = [...this.#entries.values()].filter(
      ({ copy: other, wanted }) => other.model === copy.model && wanted !== undefined,
    );
    if (rivals.length === 0) return true;
    const heir = rivals.find(({ copy: other }) => other.version === copy.version);
    if (heir !== undefined) return heir.phase === 'ready';
    // What callers without a version get must be up; a canary or a shadow alone is no replacement.
    const heaviest = Math.max(...rivals.map(({ wanted }) => wanted?.weight ?? 0));
    return rivals.some(({ phase, wanted }) => phase === 'ready' && wanted?.weight === heaviest);
  }
}

/** Nothing of it is in memory, and nothing runs for it. */
function isIdle({ phase }: Entry): boolean {
  return phase === 'dormant' || phase === 'queued' || phase === 'failed' || phase === 'quarantined';
}
