// How much each model version of a node is called, for who decides how many copies it gets: out of
// counters that only grow, an average over the time between two looks. Pure. What is told is coarse
// and bounded, so that it costs the registry little and does not change for nothing.
import { MAX_LOADS_OF_NODE, type ModelLoad } from '../registry/registry.ts';

/** What is counted of one version, on all threads together. */
export interface VersionCounts {
  readonly model: string;
  readonly version: number;
  /** Calls that came, answered or refused. */
  readonly arrived: number;
  /** Calls that were computed. */
  readonly computed: number;
  /** Time of computing, a batch counted once. */
  readonly busyNs: number;
  /** Calls waiting or running now. */
  readonly queued: number;
}

/** What is told has so many significant digits. */
const DIGITS = 2;

export class LoadMeter {
  #last = new Map<string, VersionCounts>();
  #lastMs = 0;

  /** Ordered by model and version; empty the first time, and where nothing is called. */
  take(counts: Iterable<VersionCounts>, nowMs: number): readonly ModelLoad[] {
    const seconds = (nowMs - this.#lastMs) / 1_000;
    const before = this.#last;
    this.#last = new Map();
    this.#lastMs = nowMs;
    const loads: ModelLoad[] = [];
    for (const now of counts) {
      const key = `${now.model}/${now.version}`;
      this.#last.set(key, now);
      const since = before.get(key);
      if (since === undefined || seconds <= 0) continue;
      const load = loadBetween(since, now, seconds);
      if (load.callsPerSecond > 0 || load.queued > 0) loads.push(load);
    }
    loads.sort((a, b) => busyOf(b) - busyOf(a) || b.callsPerSecond - a.callsPerSecond);
    return loads.slice(0, MAX_LOADS_OF_NODE).sort(inOrder);
  }
}

function loadBetween(since: VersionCounts, now: VersionCounts, seconds: number): ModelLoad {
  const arrived = Math.max(0, now.arrived - since.arrived);
  const computed = Math.max(0, now.computed - since.computed);
  // What was computed before says how long a call takes, where nothing was meanwhile.
  const serviceNs =
    computed > 0
      ? Math.max(0, now.busyNs - since.busyNs) / computed
      : now.busyNs / Math.max(1, now.computed);
  const { model, version } = now;
  return {
    ...{ model, version },
    callsPerSecond: coarse(arrived / seconds),
    serviceMs: coarse(serviceNs / 1e6),
    queued: coarse(now.queued),
  };
}

function busyOf({ callsPerSecond, serviceMs }: ModelLoad): number {
  return callsPerSecond * serviceMs;
}

function inOrder(a: ModelLoad, b: ModelLoad): number {
  if (a.model !== b.model) return a.model < b.model ? -1 : 1;
  return a.version - b.version;
}

function coarse(value: number): number {
  return Number(value.toPrecision(DIGITS));
}
