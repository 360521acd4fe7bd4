// Histograms that a call pays next to nothing for: observations are counted in plain numbers, and
// given to prom-client when /metrics is asked.
import { Histogram } from 'prom-client';

/** Observations by bucket; the last count is of those above the last bound. */
export class Buckets {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number, count = 1): void {
    const { bounds, counts } = this;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) at += 1;
    counts[at] = (counts[at] ?? 0) + count;
    this.sum += value * count;
  }
}

/** The buckets of one label set. */
export interface Filled<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly buckets: Buckets;
}

type Exported<Label extends string> = Awaited<ReturnType<Histogram<Label>['get']>>;

/** A histogram whose buckets are filled elsewhere, and read when it is asked for. */
export class FilledHistogram<Label extends string> extends Histogram<Label> {
  readonly #name: string;
  readonly #help: string;
  readonly #read: () => readonly Filled<Label>[];

  constructor(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: () => readonly Filled<Label>[],
  ) {
    super({ name, help, labelNames, registers: [] });
    this.#name = name;
    this.#help = help;
    this.#read = read;
  }

  override get(): Promise<Exported<Label>> {
    const name = this.#name;
    const values = this.#read().flatMap(({ labels, buckets }) => {
      let count = 0;
      const lines = [...buckets.bounds, '+Inf' as const].map((le, at) => {
        count += buckets.counts[at] ?? 0;
        return { labels: { le, ...labels }, value: count, metricName: `${name}_bucket` };
      });
      return [
        ...lines,
        { labels, value: buckets.sum, metricName: `${name}_sum` },
        { labels, value: count, metricName: `${name}_count` },
      ];
    });
    const exported = { name, help: this.#help, type: 'histogram', aggregator: 'sum', values };
    // The declared type demands a `collect` that the library itself does not export: a function
    // could not be sent to another thread.
    return Promise.resolve(exported as unknown as Exported<Label>);
  }

  /** What the registry's own text form asks for. */
  getForPromString(): Promise<Exported<Label>> {
    return this.get();
  }
}
