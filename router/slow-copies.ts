// Which copies take far longer than the others of their model: a throttled core, a failing disk, a
// noisy neighbour. Compared per model, since models differ by orders of magnitude. A part of the
// calls is looked at. Pure.

/** One of so many calls is looked at. */
export const SAMPLED = 8;
/** Between two looks at all that was gathered. */
export const LATENCY_SWEEP_MS = 1_000;
/** A copy with fewer samples since the last look is not judged. */
export const MIN_SAMPLES = 10;
/** So many times the median of the others ... */
export const OUTLYING_RATIO = 5;
/** ... and so much more than it, or the jitter of fast models would count. */
export const OUTLYING_MS = 20;
/** ... and so many looks in a row. */
export const OUTLYING_SWEEPS = 3;
/** Models beyond that are not looked at until the next look. */
const MAX_MODELS = 1_000;

interface Samples {
  count: number;
  sumMs: number;
}

export interface SlowCopy {
  readonly model: string;
  readonly node: string;
}

export class SlowCopies {
  readonly #byModel = new Map<string, Map<string, Samples>>();
  /** Looks in a row, by node, by model. */
  #outlying = new Map<string, Map<string, number>>();
  #untilNext = SAMPLED;

  /** Of a call that a node answered. */
  note(model: string, node: string, latencyMs: number): void {
    this.#untilNext -= 1;
    if (this.#untilNext > 0) return;
    this.#untilNext = SAMPLED;
    let nodes = this.#byModel.get(model);
    if (nodes === undefined) {
      if (this.#byModel.size >= MAX_MODELS) return;
      nodes = new Map();
      this.#byModel.set(model, nodes);
    }
    const samples = nodes.get(node) ?? { count: 0, sumMs: 0 };
    samples.count += 1;
    samples.sumMs += latencyMs;
    nodes.set(node, samples);
  }

  /** Those that were outlying for OUTLYING_SWEEPS looks; begins anew with them. */
  sweep(): readonly SlowCopy[] {
    const slow: SlowCopy[] = [];
    const outlying = new Map<string, Map<string, number>>();
    for (const [model, nodes] of this.#byModel) {
      for (const node of outliers(nodes)) {
        const times = (this.#outlying.get(model)?.get(node) ?? 0) + 1;
        if (times >= OUTLYING_SWEEPS) {
          slow.push({ model, node });
          continue;
        }
        const counts = outlying.get(model) ?? new Map<string, number>();
        outlying.set(model, counts.set(node, times));
      }
    }
    this.#byModel.clear();
    this.#outlying = outlying;
    return slow;
  }
}

function outliers(nodes: ReadonlyMap<string, Samples>): readonly string[] {
  const judged = [...nodes].filter(([, { count }]) => count >= MIN_SAMPLES);
  const means = judged.map(([node, { count, sumMs }]) => ({ node, meanMs: sumMs / count }));
  return means.flatMap(({ node, meanMs }) => {
    const others = means.filter((other) => other.node !== node).map((other) => other.meanMs);
    const usual = median(others);
    if (usual === undefined) return [];
    return meanMs > usual * OUTLYING_RATIO && meanMs > usual + OUTLYING_MS ? [node] : [];
  });
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}
