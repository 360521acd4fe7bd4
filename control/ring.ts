// The consistent-hash ring: for each model, the nodes in the order in which they are its
// candidates. When a node comes or goes, only the models that it was a candidate of see another
// order.
import HashRing from 'hashring';

/** Models whose candidates a ring remembers; beyond it all are forgotten and worked out again. */
const MAX_REMEMBERED_MODELS = 100_000;
/** Candidates worked out for a model; a plan that finds no room on these looks at every node. */
export const RING_CANDIDATES = 8;
/**
 * Each makes 4 points. Named per node since hashring's own number comes from a division by the
 * count of nodes, whose rounding would move points of nodes that stay. Not its default of 40, which
 * it takes for none given.
 */
const VIRTUAL_NODES = 48;

export interface Ring {
  /** Node ids, ordered; all that the ring has. */
  readonly nodeIds: readonly string[];
  /** The first of them is the model's home; at most RING_CANDIDATES, or as many as there are. */
  candidates(model: string): readonly string[];
}

export function createRing(nodeIds: readonly string[]): Ring {
  const sorted = [...new Set(nodeIds)].sort();
  const ring = new HashRing(
    Object.fromEntries(sorted.map((id) => [id, { vnodes: VIRTUAL_NODES }])),
  );
  const remembered = new Map<string, readonly string[]>();
  const count = Math.min(RING_CANDIDATES, sorted.length);
  return {
    nodeIds: sorted,
    candidates(model) {
      if (count === 0) return [];
      const known = remembered.get(model);
      if (known !== undefined) return known;
      const found = ring.range(model, count);
      if (remembered.size >= MAX_REMEMBERED_MODELS) remembered.clear();
      remembered.set(model, found);
      return found;
    },
  };
}

/** Makes rings, and gives the last one again as long as the members are the same. */
export function ringCache(): (nodeIds: readonly string[]) => Ring {
  let last = createRing([]);
  return (nodeIds) => {
    const sorted = [...new Set(nodeIds)].sort();
    const isSame =
      sorted.length === last.nodeIds.length && sorted.every((id, at) => id === last.nodeIds[at]);
    if (!isSame) last = createRing(sorted);
    return last;
  };
}
