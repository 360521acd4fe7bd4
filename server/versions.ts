// Which copies of model versions to load and to unload, from what is wanted and what has happened.
// Pure: events and the time in, actions out. What it promises:
// - a version that serves goes only when a wanted version of its model is READY in its place, or
//   when its model is wanted here no more; so a failed load never displaces it;
// - at most `concurrentLoads` loads at a time, what is called most first, else in the order in
//   which they were wanted;
// - a load that fails is tried again with growing pauses: a bounded number of times, but for ever
//   where the disk, the network or a store is at fault, since these come back without us.
import type { CopyRecord, CopyState } from '../registry/registry.ts';

export interface VersionLimits {
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
}

export type Action =
  | { readonly kind: 'load'; readonly copy: Copy }
  | { readonly kind: 'unload'; readonly copy: Copy };

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

type Phase = 'queued' | 'loading' | 'ready' | 'unloading' | 'failing' | 'failed' | 'quarantined';

interface Entry {
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

const REPORTED: Record<Phase, CopyState> = {
  queued: 'LOADING',
  loading: 'LOADING',
  ready: 'READY',
  unloading: 'UNLOADING',
  failing: 'FAILED',
  failed: 'FAILED',
  quarantined: 'QUARANTINED',
};

function keyOf({ model, version, manifestSha256 }: Copy): string {
  return `${model}/${version}/${manifestSha256}`;
}

export class Versions {
  readonly #limits: VersionLimits;
  /** In the order in which they were first wanted. */
  readonly #entries = new Map<string, Entry>();

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
        phase: 'queued',
        reason: '',
        memoryBytes: 0,
        attempts: 0,
        isBusy: false,
        retryAtMs: nowMs,
        readySinceMs: 0,
        unwantedSinceMs: 0,
      });
    }
    return this.tick(nowMs);
  }

  loaded(copy: Copy, memoryBytes: number, nowMs: number): readonly Action[] {
    const entry = this.#entries.get(keyOf(copy));
    if (entry?.phase === 'loading') {
      entry.phase = 'ready';
      entry.reason = '';
      entry.memoryBytes = memoryBytes;
      entry.readySinceMs = nowMs;
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
        entry.phase = 'queued';
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
    while (loading < this.#limits.concurrentLoads) {
      const entry = this.#nextToLoad(nowMs);
      if (entry === undefined) break;
      entry.phase = 'loading';
      entry.attempts += 1;
      loading += 1;
      actions.push({ kind: 'load', copy: entry.copy });
    }
    return actions;
  }

  #nextToLoad(nowMs: number): Entry | undefined {
    let next: Entry | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.phase !== 'queued' && entry.phase !== 'failed') continue;
      if (entry.retryAtMs > nowMs) continue;
      if (next === undefined || trafficOf(entry) > trafficOf(next)) next = entry;
    }
    return next;
  }

  /** When `tick` has something to do next, unless something happens before; undefined: never. */
  nextMs(): number | undefined {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const entry of this.#entries.values()) {
      if (entry.phase === 'failed') nextMs = Math.min(nextMs, entry.retryAtMs);
      else if (entry.phase === 'ready' && entry.wanted === undefined && this.#isReplaced(entry)) {
        nextMs = Math.min(nextMs, this.#goesAtMs(entry));
      }
    }
    return Number.isFinite(nextMs) ? nextMs : undefined;
  }

  /** Every copy that is held, or was tried and failed; in the order in which they were wanted. */
  statuses(): readonly CopyStatus[] {
    return [...this.#entries.values()].map((entry) => ({
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

function trafficOf({ wanted }: Entry): number {
  return wanted?.trafficRank ?? 0;
}

/** Nothing of it is in memory, and nothing runs for it. */
function isIdle({ phase }: Entry): boolean {
  return phase === 'queued' || phase === 'failed' || phase === 'quarantined';
}
