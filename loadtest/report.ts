// What a load test found: counts by status and a histogram of latencies.
import { build, type Histogram } from 'hdr-histogram-js';
import { type CodeName, codeName } from '../common/status.ts';

/** Longest latency that is told apart; longer ones are counted as this. */
const MAX_LATENCY_US = 600_000_000;

export interface Report {
  readonly sent: number;
  readonly ok: number;
  /** Answers that were no OK, by status. */
  readonly failed: Readonly<Partial<Record<CodeName, number>>>;
  /** Not sent since too many were outstanding (open loop): the target could not keep up. */
  readonly dropped: number;
  readonly durationMs: number;
  readonly okPerSecond: number;
  readonly latencyUs: {
    readonly mean: number;
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly max: number;
  };
}

/**
 * Gathers results while a test runs. Latencies in milliseconds, as performance.now() tells them.
 */
export class Tally {
  readonly #latency: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: MAX_LATENCY_US,
    numberOfSignificantValueDigits: 3,
  });
  readonly #failed: Partial<Record<CodeName, number>> = {};
  #sent = 0;
  #ok = 0;
  #dropped = 0;

  sent(): void {
    this.#sent += 1;
  }

  dropped(): void {
    this.#dropped += 1;
  }

  /** @param code the gRPC status; only OK answers count into latencies. */
  answered(code: number, latencyMs: number): void {
    if (code === 0) {
      this.#ok += 1;
      const us = Math.min(MAX_LATENCY_US, Math.max(1, Math.round(latencyMs * 1_000)));
      this.#latency.recordValue(us);
      return;
    }
    const name = codeName(code);
    this.#failed[name] = (this.#failed[name] ?? 0) + 1;
  }

  report(durationMs: number): Report {
    const at = (percentile: number): number => this.#latency.getValueAtPercentile(percentile);
    return {
      sent: this.#sent,
      ok: this.#ok,
      failed: { ...this.#failed },
      dropped: this.#dropped,
      durationMs,
      okPerSecond: durationMs > 0 ? (this.#ok * 1_000) / durationMs : 0,
      latencyUs: {
        mean: this.#latency.mean,
        p50: at(50),
        p90: at(90),
        p99: at(99),
        max: this.#latency.maxValue,
      },
    };
  }
}
