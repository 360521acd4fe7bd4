// Versions that are loaded by their first call: which one a call means, and who leaves when memory
// is short. Pure.

/** What a call for a version on demand meets. */
export type Called =
  /** Nothing on demand here: go on. */
  | 'unknown'
  | 'ready'
  /** It is loaded, or waits its turn. */
  | 'coming'
  /** Its loads failed, and it is not yet tried again. */
  | { readonly reason: string };

/** What is remembered of a copy for its being on demand. */
export interface DemandState {
  /** When it was called last. */
  usedMs: number;
  /** It was called while it was on its way out. */
  isCalled: boolean;
  backOffs: number;
  /** What it took when it was loaded last; 0: it never was. */
  knownBytes: number;
}

export function demandState(nowMs: number): DemandState {
  return { usedMs: nowMs, isCalled: false, backOffs: 0, knownBytes: 0 };
}

/** It failed too often: the next call after a while tries it once more. */
export function backOff(
  entry: DemandState & { reason: string; retryAtMs: number },
  { backOffMs, maxBackOffMs }: DemandLimits,
  nowMs: number,
): void {
  const pauseMs = Math.min(maxBackOffMs, backOffMs * 2 ** entry.backOffs);
  entry.backOffs += 1;
  entry.retryAtMs = nowMs + pauseMs;
  const seconds = Math.round(pauseMs / 1_000);
  entry.reason += ` (not loaded: the next call after ${seconds} s tries again)`;
}

interface Demanded {
  readonly copy: { readonly model: string; readonly version: number };
  readonly wanted: { readonly weight: number; readonly isOnDemand?: boolean } | undefined;
}

export class DemandIndex<Entry extends Demanded> {
  #byModel: ReadonlyMap<string, readonly Entry[]> = new Map();

  /** Replaces what is known: of these, those that are on demand. */
  set(entries: Iterable<Entry>): void {
    const byModel = new Map<string, Entry[]>();
    for (const entry of entries) {
      if (entry.wanted?.isOnDemand !== true) continue;
      const list = byModel.get(entry.copy.model);
      if (list === undefined) byModel.set(entry.copy.model, [entry]);
      else list.push(entry);
    }
    this.#byModel = byModel;
  }

  get size(): number {
    return this.#byModel.size;
  }

  /** @param version undefined: the one with the most weight */
  find(model: string, version: number | undefined): Entry | undefined {
    const entries = this.#byModel.get(model);
    if (entries === undefined) return undefined;
    if (version !== undefined) return entries.find(({ copy }) => copy.version === version);
    const weightOf = ({ wanted }: Entry): number => wanted?.weight ?? 0;
    return entries.reduce((best, entry) => (weightOf(entry) > weightOf(best) ? entry : best));
  }
}

/** A copy that has memory, or is about to. */
export interface Holder {
  readonly phase: string;
  readonly memoryBytes: number;
  /** What it took when it was loaded last; 0: it never was. */
  readonly knownBytes: number;
  readonly readySinceMs: number;
  readonly usedMs: number;
  readonly wanted: { readonly isOnDemand?: boolean; readonly costBytes?: number } | undefined;
}

export interface DemandLimits {
  /** What all copies may take together; 0: no limit. Versions on demand leave to keep it. */
  readonly memoryLimitBytes: number;
  /** A version on demand stays so long once it is READY, however many others want its place. */
  readonly minStayMs: number;
  /** After so many failed loads in a row calls are refused for a while. */
  readonly demandAttempts: number;
  /** The first while; it doubles with each. */
  readonly backOffMs: number;
  readonly maxBackOffMs: number;
}

export const DEMAND_LIMITS: DemandLimits = {
  memoryLimitBytes: 0,
  minStayMs: 1_000,
  demandAttempts: 3,
  backOffMs: 60_000,
  maxBackOffMs: 600_000,
};

/**
 * What has to happen before one more copy is loaded: nothing ('go'), others are to leave or are
 * leaving ('wait'), or nothing helps ('never').
 */
export function roomFor<One extends Holder>(
  one: One,
  all: Iterable<One>,
  { memoryLimitBytes, minStayMs }: DemandLimits,
  nowMs: number,
): { readonly outcome: 'go' | 'wait' | 'never'; readonly leaving: readonly One[] } {
  if (memoryLimitBytes === 0) return { outcome: 'go', leaving: [] };
  const others = [...all].filter((other) => other !== one);
  const hasPhase = (phase: string): boolean => others.some((other) => other.phase === phase);
  let excessBytes = bytesOf(one) - memoryLimitBytes;
  for (const other of others) {
    if (['loading', 'ready', 'failing'].includes(other.phase)) excessBytes += bytesOf(other);
  }
  const isFreeing = hasPhase('unloading');
  const resident = others.filter(
    ({ phase, wanted }) => phase === 'ready' && wanted?.isOnDemand === true,
  );
  const leaving: One[] = [];
  for (const other of resident.sort((a, b) => a.usedMs - b.usedMs)) {
    if (excessBytes <= 0) break;
    if (nowMs - other.readySinceMs < minStayMs) continue;
    leaving.push(other);
    excessBytes -= bytesOf(other);
  }
  const isMoving = isFreeing || leaving.length > 0;
  if (excessBytes <= 0) return { outcome: isMoving ? 'wait' : 'go', leaving };
  const mayFree = isMoving || resident.length > 0 || hasPhase('loading');
  return { outcome: mayFree ? 'wait' : 'never', leaving };
}

function bytesOf({ memoryBytes, knownBytes, wanted }: Holder): number {
  return memoryBytes > 0 ? memoryBytes : Math.max(knownBytes, wanted?.costBytes ?? 0);
}
