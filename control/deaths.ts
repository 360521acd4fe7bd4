// Which versions end the processes of nodes, as the whole cluster has seen it. Pure. Each node says
// of itself how often it ended while a version was loaded or first run (that lies on its disk); the
// sum over the nodes is known. A node that has just gone has not said yet: until it is back, or
// FEAR_MS are over, each version that was to be on it may be what ended it, and that is feared.
// Known and feared deaths together leave room for so many new copies at a time that a version of
// two copies or fewer ends no more than MAX_DEATHS processes before it is given up. What is feared
// of nodes that went at one time always leaves room for one copy: machines that go together are no
// reason not to serve.
import {
  type AssignmentEntry,
  type CopyRecord,
  MAX_DEATHS,
  NODE_TTL_MS,
  type NodeRecord,
} from '../registry/registry.ts';

/** A supervisor starts a node again within this, else it is the machine that is gone. */
export const FEAR_MS = 30_000;

export interface Deaths {
  readonly known: number;
  /** Of nodes that have gone and not come back. */
  readonly feared: number;
  /** When the first and the last of these went. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** Those that are known, by the ids of the nodes. */
  readonly byNode: ReadonlyMap<string, number>;
  /** Of these nodes, those that knew of fewer at the last plan. */
  readonly news: ReadonlySet<string>;
}

/** Deaths by content. */
type Counts = Map<string, number>;

interface Gone {
  readonly atMs: number;
  readonly feared: Counts;
}

type Content = Pick<AssignmentEntry, 'model' | 'version' | 'manifestSha256'>;

const NO_DEATHS: Deaths = {
  known: 0,
  feared: 0,
  firstMs: Number.POSITIVE_INFINITY,
  lastMs: Number.NEGATIVE_INFINITY,
  byNode: new Map(),
  news: new Set(),
};

export interface DeathsInput {
  readonly nodes: readonly Pick<NodeRecord, 'id' | 'state'>[];
  readonly copies: ReadonlyMap<string, readonly CopyRecord[]>;
  /** As it is before this plan. */
  readonly previous: readonly AssignmentEntry[];
  readonly nowMs: number;
}

/** What is known at one plan's moment. */
export class DeathBook {
  /** Nodes that were to stay, with what they said. */
  #staying = new Map<string, Counts>();
  readonly #gone = new Map<string, Gone>();
  #deaths = new Map<string, Deaths>();

  /** Brings it up to date; before each plan. */
  update({ nodes, copies, previous, nowMs }: DeathsInput): void {
    const live = new Set(nodes.map(({ id }) => id));
    const lost = new Map([...this.#staying].filter(([id]) => !live.has(id)));
    fear(lost, previous);
    for (const [id, feared] of lost) this.#gone.set(id, { atMs: nowMs, feared });
    for (const [id, { atMs }] of this.#gone) {
      if (live.has(id) || nowMs - atMs >= FEAR_MS) this.#gone.delete(id);
    }
    const told = new Map([...copies].map(([id, list]) => [id, countsOf(list)]));
    this.#deaths = this.#sum(told);
    const staying = nodes.filter(({ state }) => state === 'SERVING');
    this.#staying = new Map(staying.map(({ id }) => [id, told.get(id) ?? new Map()]));
  }

  of(content: Content): Deaths {
    return this.#deaths.size === 0 ? NO_DEATHS : (this.#deaths.get(keyOf(content)) ?? NO_DEATHS);
  }

  /** So many copies may be on their way at a time; Infinity for who is no suspect. */
  mostNew(content: Content): number {
    const { known, feared, firstMs, lastMs } = this.of(content);
    if (known + feared === 0) return Number.POSITIVE_INFINITY;
    const isOneTime = known === 0 && lastMs - firstMs < NODE_TTL_MS;
    return Math.max(isOneTime ? 1 : 0, MAX_DEATHS - known - feared);
  }

  #sum(told: ReadonlyMap<string, Counts>): Map<string, Deaths> {
    const sums = new Map<string, Deaths>();
    for (const [nodeId, counts] of told) {
      for (const [key, deaths] of counts) {
        const sum = sums.get(key) ?? NO_DEATHS;
        const byNode = new Map([...sum.byNode, [nodeId, deaths]]);
        const isNews = deaths > (this.#staying.get(nodeId)?.get(key) ?? 0);
        const news = isNews ? new Set([...sum.news, nodeId]) : sum.news;
        sums.set(key, { ...sum, known: sum.known + deaths, byNode, news });
      }
    }
    for (const { atMs, feared } of this.#gone.values()) {
      for (const [key, deaths] of feared) {
        const sum = sums.get(key) ?? NO_DEATHS;
        const firstMs = Math.min(sum.firstMs, atMs);
        const lastMs = Math.max(sum.lastMs, atMs);
        sums.set(key, { ...sum, feared: sum.feared + deaths, firstMs, lastMs });
      }
    }
    return sums;
  }
}

/**
 * Of the nodes that are to have a version those that get it now: they that have it ready, and as
 * many others as there is room for. First those that were given it before and have not died of it
 * since, as far as is known: they may have just now.
 * @param before nodes that were given it
 */
export function admitted(
  book: Pick<DeathBook, 'of' | 'mostNew'>,
  content: Content,
  targets: readonly string[],
  readyIds: readonly string[],
  before: readonly string[],
): readonly string[] {
  const room = book.mostNew(content);
  const others = targets.filter((id) => !readyIds.includes(id));
  if (others.length <= room) return targets;
  const { news } = book.of(content);
  const isOnItsWay = (id: string): number => (before.includes(id) && !news.has(id) ? 1 : 0);
  const chosen = others.sort((a, b) => isOnItsWay(b) - isOnItsWay(a)).slice(0, room);
  return targets.filter((id) => readyIds.includes(id) || chosen.includes(id));
}

/** The copies whose deaths are enough, with the reason. */
export function condemned(
  book: DeathBook,
  copies: ReadonlyMap<string, readonly CopyRecord[]>,
): ReadonlyMap<string, { readonly copy: CopyRecord; readonly reason: string }> {
  const found = new Map<string, { copy: CopyRecord; reason: string }>();
  for (const list of copies.values()) {
    for (const copy of list) {
      if (copy.state === 'QUARANTINED') found.set(keyOf(copy), { copy, reason: copy.reason });
      if (!copy.deaths) continue;
      const { known, byNode } = book.of(copy);
      if (known < MAX_DEATHS) continue;
      const on = [...byNode.keys()].join(', ');
      const reason =
        `model '${copy.model}' version ${copy.version} is in quarantine: ${known} times a node's ` +
        `process ended while it was being loaded or first run (on ${on})`;
      found.set(keyOf(copy), { copy, reason });
    }
  }
  return found;
}

/** Nodes that have gone may have ended of anything that was to be on them. */
function fear(lost: ReadonlyMap<string, Counts>, entries: readonly AssignmentEntry[]): void {
  if (lost.size === 0) return;
  for (const entry of entries) {
    for (const id of entry.nodes) {
      const counts = lost.get(id);
      if (counts === undefined) continue;
      const key = keyOf(entry);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
}

function countsOf(copies: readonly CopyRecord[]): Counts {
  const counts: Counts = new Map();
  for (const copy of copies) if (copy.deaths) counts.set(keyOf(copy), copy.deaths);
  return counts;
}

function keyOf({ model, version, manifestSha256 }: Content): string {
  return `${model}/${version}/${manifestSha256}`;
}
