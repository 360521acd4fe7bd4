// How many frames of a kind a peer may send: a budget per kind that fills up with time. Frames
// that cost the sender nothing and us something are only honest in small numbers.
import type { ConnectionLimits, LimitName } from './limits.ts';

export const Budget = {
  RESETS: 0,
  PINGS: 1,
  SETTINGS: 2,
  TINY_DATA: 3,
  WINDOW_UPDATES: 4,
  IGNORED_FRAMES: 5,
  /** RST_STREAM of streams that are over. */
  LATE_RESETS: 6,
} as const;

const NAMES: readonly LimitName[] = [
  'resets',
  'pings',
  'settings',
  'tiny_data',
  'window_updates',
  'ignored_frames',
  'resets',
];
const KINDS = NAMES.length;
const RESETS_PER_SECOND = 10;
/** A burst may take this many seconds' worth. */
const BURST_SECONDS = 2;
/** Filling up is not worth its divisions more often than this. */
const REFILL_MS = 20;

export class Budgets {
  readonly #perSecond: Float64Array;
  readonly #most: Float64Array;
  readonly #left: Float64Array;
  #filledMs: number;

  constructor(limits: ConnectionLimits, nowMs: number) {
    const rates = [
      limits.pingsPerSecond,
      limits.settingsPerSecond,
      limits.tinyDataPerSecond,
      limits.windowUpdatesPerSecond,
      limits.ignoredFramesPerSecond,
    ];
    const bursts = rates.map((rate) => rate * BURST_SECONDS);
    this.#perSecond = Float64Array.of(RESETS_PER_SECOND, ...rates, RESETS_PER_SECOND);
    this.#most = Float64Array.of(limits.resets, ...bursts, limits.resets);
    this.#left = this.#most.slice();
    this.#filledMs = nowMs;
  }

  refill(nowMs: number): void {
    const passedMs = nowMs - this.#filledMs;
    if (passedMs < REFILL_MS) return;
    this.#filledMs = nowMs;
    for (let kind = 0; kind < KINDS; kind++) {
      this.credit(kind, ((this.#perSecond[kind] ?? 0) * passedMs) / 1000);
    }
  }

  credit(kind: number, amount: number): void {
    this.#left[kind] = Math.min((this.#left[kind] ?? 0) + amount, this.#most[kind] ?? 0);
  }

  /** False when nothing was left. */
  spend(kind: number): boolean {
    const left = this.#left[kind] ?? 0;
    if (left < 1) return false;
    this.#left[kind] = left - 1;
    return true;
  }

  nameOf(kind: number): LimitName {
    return NAMES[kind] ?? 'ignored_frames';
  }
}
