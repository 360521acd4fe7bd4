// Load generators. The closed loop keeps a number of calls in flight: it finds the peak. The open
// loop sends at a rate whatever comes back, and counts latency from the moment a call was meant to
// be sent, so that a slow server can't hide behind a generator that waits for it (coordinated
// omission).
import type { Clock } from '../common/clock.ts';
import { type Report, Tally } from './report.ts';

/** Sends one call; `done` is called once with its gRPC status. */
export type Send = (done: (code: number) => void) => void;

export interface ClosedLoopOptions {
  readonly send: Send;
  /** Calls in flight at any time. */
  readonly concurrency: number;
  /** The test ends at whichever comes first; answers still under way are waited for. */
  readonly durationMs: number;
  readonly maxCalls: number;
  readonly clock: Clock;
}

export function runClosedLoop(options: ClosedLoopOptions): Promise<Report> {
  const { send, clock } = options;
  const tally = new Tally();
  const startMs = clock.nowMs();
  let started = 0;
  let inFlight = 0;
  return new Promise((resolve) => {
    const isOver = (nowMs: number): boolean =>
      started >= options.maxCalls || nowMs - startMs >= options.durationMs;
    const next = (): void => {
      const sentMs = clock.nowMs();
      started += 1;
      inFlight += 1;
      tally.sent();
      send((code) => {
        const nowMs = clock.nowMs();
        inFlight -= 1;
        tally.answered(code, nowMs - sentMs);
        if (!isOver(nowMs)) next();
        else if (inFlight === 0) resolve(tally.report(nowMs - startMs));
      });
    };
    for (let lane = 0; lane < options.concurrency && !isOver(clock.nowMs()); lane += 1) next();
    if (started === 0) resolve(tally.report(0));
  });
}

/** Gaps between calls: all the same, or exponential (a Poisson process: many callers at random). */
export type Arrival = 'constant' | 'poisson';

/** Milliseconds to the next call at `ratePerSecond`. `random` gives numbers in [0, 1). */
export function gapMs(arrival: Arrival, ratePerSecond: number, random: () => number): number {
  const meanMs = 1_000 / ratePerSecond;
  return arrival === 'constant' ? meanMs : -Math.log(1 - random()) * meanMs;
}

export interface OpenLoopOptions {
  readonly send: Send;
  readonly ratePerSecond: number;
  readonly durationMs: number;
  readonly arrival: Arrival;
  /**
   * Past it a call is counted as dropped rather than sent: the generator's own memory is bounded.
   */
  readonly maxOutstanding: number;
  readonly random: () => number;
  readonly clock: Clock;
}

/**
 * Timers are coarse (1 ms): all calls that are due are sent together, each with its own due time.
 */
const TICK_MS = 1;

export function runOpenLoop(options: OpenLoopOptions): Promise<Report> {
  const { send, clock } = options;
  const tally = new Tally();
  const startMs = clock.nowMs();
  const endMs = startMs + options.durationMs;
  const gap = (): number => gapMs(options.arrival, options.ratePerSecond, options.random);
  let dueMs = startMs + gap();
  let outstanding = 0;
  return new Promise((resolve) => {
    const settle = (): void => {
      if (dueMs < endMs || outstanding > 0) return;
      resolve(tally.report(clock.nowMs() - startMs));
    };
    const sendOne = (intendedMs: number): void => {
      if (outstanding >= options.maxOutstanding) {
        tally.dropped();
        return;
      }
      outstanding += 1;
      tally.sent();
      send((code) => {
        outstanding -= 1;
        tally.answered(code, clock.nowMs() - intendedMs);
        settle();
      });
    };
    const tick = (): void => {
      const nowMs = clock.nowMs();
      while (dueMs <= nowMs && dueMs < endMs) {
        sendOne(dueMs);
        dueMs += gap();
      }
      if (dueMs < endMs) clock.after(Math.max(TICK_MS, dueMs - nowMs), tick);
      else settle();
    };
    tick();
  });
}
