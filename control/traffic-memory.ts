// The models' ranks by traffic, kept in the catalog: when the registry is lost together with all
// nodes, the busiest models are loaded first all the same. Advice only: nothing waits for it, and
// what can't be read or written is done without.
import type { Catalog } from '../catalog/catalog.ts';
import { CATALOG_SCHEMA } from '../catalog/documents.ts';
import type { Log } from '../common/log.ts';
import { Code, hasCode } from '../common/status.ts';
import type { AssignmentEntry } from '../registry/registry.ts';

/** The busiest ones; others are loaded behind them. Bounds the document to some 500 KB. */
export const MAX_REMEMBERED_MODELS = 10_000;
/** Between two writes: what changed since then is lost. */
export const REMEMBER_EVERY_MS = 5_000;
const KEY = 'ranks';

type Ranked = Pick<AssignmentEntry, 'model' | 'weight' | 'trafficRank'>;

export interface TrafficMemoryOptions {
  readonly catalog: Catalog;
  readonly log: Log;
  readonly nowMs: () => number;
}

export class TrafficMemory {
  readonly #options: TrafficMemoryOptions;
  #kept = '';
  #keptAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: TrafficMemoryOptions) {
    this.#options = options;
  }

  /** What was kept last, by whoever led then; by model. */
  async recall(): Promise<ReadonlyMap<string, number>> {
    try {
      const { doc } = (await this.#options.catalog.get('traffic', KEY)) ?? {};
      return new Map(Object.entries(doc?.ranks ?? {}));
    } catch (error) {
      this.#options.log.warn({ err: error }, "the models' traffic of before could not be read");
      return new Map();
    }
  }

  /** @param epoch of who leads; a later leader's word stays */
  async keep(entries: readonly Ranked[], epoch: number): Promise<void> {
    const { catalog, log, nowMs } = this.#options;
    if (nowMs() - this.#keptAtMs < REMEMBER_EVERY_MS) return;
    const ranks = busiest(entries);
    const text = JSON.stringify(ranks);
    if (text === this.#kept) return;
    this.#keptAtMs = nowMs();
    const doc = { schema: CATALOG_SCHEMA, epoch, ranks } as const;
    try {
      if ((await catalog.get('traffic', KEY)) === undefined) {
        await catalog.create('traffic', KEY, doc).catch((error: unknown) => {
          if (!hasCode(error, Code.ALREADY_EXISTS)) throw error;
        });
      }
      await catalog.update('traffic', KEY, (found) => (found.epoch > epoch ? found : doc));
      this.#kept = text;
    } catch (error) {
      log.warn({ err: error }, "the models' traffic could not be kept");
    }
  }
}

function busiest(entries: readonly Ranked[]): Record<string, number> {
  const ranks = new Map<string, number>();
  for (const { model, weight, trafficRank = 0 } of entries) {
    if (trafficRank > 0 && weight > 0) ranks.set(model, trafficRank);
  }
  const sorted = [...ranks].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  return Object.fromEntries(sorted.slice(0, MAX_REMEMBERED_MODELS));
}
