// The consistent-hash ring: for each model, the nodes in the order in which they are its
// candidates. When a node comes or goes, only the models that it was a candidate of see another
// order; so a ring is made from the one before it, and only those are looked up again. Points and
// order are those of the package hashring (ketama), which a test compares it with; decision 13.
import { createHash } from 'node:crypto';

/** Models whose candidates a ring remembers; beyond it all are forgotten and worked out again. */
const MAX_REMEMBERED_MODELS = 250_000;
/** Candidates worked out for a model; a plan that finds no room on these looks at every node. */
export const RING_CANDIDATES = 8;
/** Each makes 4 points. More spread homes more evenly, and cost memory and time to build. */
export const VIRTUAL_NODES = 48;
const POINTS_PER_DIGEST = 4;
/** More changes at once than this share of the nodes, and the ring is made from nothing. */
const MAX_CHANGED_SHARE = 0.25;

export interface Ring {
  /** Node ids, ordered; all that the ring has. */
  readonly nodeIds: readonly string[];
  /** The first of them is the model's home; at most RING_CANDIDATES, or as many as there are. */
  candidates(model: string): readonly string[];
}

/** What a model's look-up came to, and how far around the ring it had to go. */
interface Found {
  readonly position: number;
  /** From the position to the last point that was looked at. */
  readonly span: number;
  readonly nodeIds: readonly string[];
}

/** Points ordered by value, then by node; `owners` are indices into `ids`. */
interface Points {
  readonly ids: readonly string[];
  readonly values: Uint32Array;
  readonly owners: Uint32Array;
}

export function createRing(nodeIds: readonly string[]): Ring {
  return new HashedRing(pointsOf([...new Set(nodeIds)].sort()), new Map());
}

/** Makes rings from the last one, and gives that one again as long as the members are the same. */
export function ringCache(): (nodeIds: readonly string[]) => Ring {
  let last = new HashedRing(pointsOf([]), new Map());
  return (nodeIds) => {
    const ids = [...new Set(nodeIds)].sort();
    const isSame =
      ids.length === last.nodeIds.length && ids.every((id, at) => id === last.nodeIds[at]);
    if (!isSame) last = last.changedTo(ids);
    return last;
  };
}

class HashedRing implements Ring {
  readonly nodeIds: readonly string[];
  readonly #points: Points;
  readonly #count: number;
  #found: Map<string, Found>;

  /** @param found of a ring that gives the same answers for the models in it. */
  constructor(points: Points, found: Map<string, Found>) {
    this.nodeIds = points.ids;
    this.#points = points;
    this.#count = Math.min(RING_CANDIDATES, points.ids.length);
    this.#found = found;
  }

  candidates(model: string): readonly string[] {
    const known = this.#found.get(model);
    if (known !== undefined) return known.nodeIds;
    const found = this.#find(positionOf(model));
    if (this.#found.size >= MAX_REMEMBERED_MODELS) this.#found.clear();
    this.#found.set(model, found);
    return found.nodeIds;
  }

  /** The ring of other members, which takes over what is remembered and still holds. */
  changedTo(ids: readonly string[]): HashedRing {
    const [before, after] = [new Set(this.nodeIds), new Set(ids)];
    const joined = ids.filter((id) => !before.has(id));
    const left = new Set(this.nodeIds.filter((id) => !after.has(id)));
    const isSmall = joined.length + left.size <= MAX_CHANGED_SHARE * ids.length;
    const count = Math.min(RING_CANDIDATES, ids.length);
    if (!isSmall || count !== this.#count) return new HashedRing(pointsOf(ids), new Map());
    const news = pointsOf(joined);
    const found = this.#found;
    this.#found = new Map();
    for (const [model, one] of found) {
      const isTouched = reaches(one, news.values) || one.nodeIds.some((id) => left.has(id));
      if (isTouched) found.delete(model);
    }
    return new HashedRing(mergePoints(this.#points, news, ids), found);
  }

  #find(position: number): Found {
    const { ids, values, owners } = this.#points;
    const owned: number[] = [];
    let at = indexFrom(values, position);
    let last = position;
    while (owned.length < this.#count) {
      if (at === values.length) at = 0;
      const owner = owners[at] ?? 0;
      last = values[at] ?? 0;
      if (!owned.includes(owner)) owned.push(owner);
      at += 1;
    }
    const nodeIds = owned.map((owner) => ids[owner] ?? '');
    return { position, span: (last - position) >>> 0, nodeIds };
  }
}

/** Whether one of the ordered points lies where a look-up has been. */
function reaches({ position, span }: Found, values: Uint32Array): boolean {
  if (values.length === 0) return false;
  const next = values[indexFrom(values, position)] ?? values[0] ?? 0;
  return (next - position) >>> 0 <= span;
}

/** Index of the first value that is not below; the length when all are. */
function indexFrom(values: Uint32Array, least: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? 0) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

function positionOf(key: string): number {
  return createHash('md5').update(key).digest().readUInt32LE(0);
}

/** @param ids ordered */
function pointsOf(ids: readonly string[]): Points {
  const size = ids.length * VIRTUAL_NODES * POINTS_PER_DIGEST;
  // Value and owner in one number, to be sorted as numbers are: 32 bits and at most 21.
  const keys = new Float64Array(size);
  let at = 0;
  for (const [owner, id] of ids.entries()) {
    for (let replica = 0; replica < VIRTUAL_NODES; replica += 1) {
      const digest = createHash('md5').update(`${id}-${replica}`).digest();
      for (let part = 0; part < POINTS_PER_DIGEST; part += 1) {
        keys[at] = digest.readUInt32LE(4 * part) * 2 ** 21 + owner;
        at += 1;
      }
    }
  }
  keys.sort();
  const values = Uint32Array.from(keys, (key) => Math.floor(key / 2 ** 21));
  const owners = Uint32Array.from(keys, (key) => key % 2 ** 21);
  return { ids, values, owners };
}

/** The points of `known` whose nodes are among `ids`, and those of `news`. */
function mergePoints(known: Points, news: Points, ids: readonly string[]): Points {
  const indexOf = new Map(ids.map((id, index) => [id, index]));
  const knownOwner = known.ids.map((id) => indexOf.get(id) ?? -1);
  const newsOwner = news.ids.map((id) => indexOf.get(id) ?? -1);
  const size = ids.length * VIRTUAL_NODES * POINTS_PER_DIGEST;
  const [values, owners] = [new Uint32Array(size), new Uint32Array(size)];
  let [at, next] = [0, 0];
  const put = (value: number, owner: number): void => {
    values[at] = value;
    owners[at] = owner;
    at += 1;
  };
  const putNews = (): void => {
    put(news.values[next] ?? 0, newsOwner[news.owners[next] ?? 0] ?? 0);
    next += 1;
  };
  for (const [index, value] of known.values.entries()) {
    const owner = knownOwner[known.owners[index] ?? 0] ?? -1;
    if (owner < 0) continue;
    while (next < news.values.length && isBefore(next, value, owner)) putNews();
    put(value, owner);
  }
  while (next < news.values.length) putNews();
  return { ids, values, owners };

  function isBefore(index: number, value: number, owner: number): boolean {
    const there = news.values[index] ?? 0;
    if (there !== value) return there < value;
    return (newsOwner[news.owners[index] ?? 0] ?? 0) < owner;
  }
}
