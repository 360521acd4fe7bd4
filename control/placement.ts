// Where copies go: consistent hashing with bounded load, and sticky. Pure: the same demands, nodes
// and holders give the same answer, and an answer given back as holders is answered unchanged.
//   1. A copy stays where it is.
//   2. A missing copy goes to the first candidate on the ring that has room under the bound,
//      else to the node with the least load.
//   3. Copies leave a node that is above the bound for nodes that have room under it.
// The bound is LOAD_BOUND times the mean cost of the nodes. A node's memory limit is never exceeded
// by a new copy, so a copy may find no place.
import type { Ring } from './ring.ts';

/** Load of a node over the mean at which copies go elsewhere. Lower is more even and moves more. */
export const LOAD_BOUND = 1.25;

export interface PlacementNode {
  readonly id: string;
  readonly zone: string;
  /** 0: no limit. */
  readonly memoryLimitBytes: number;
}

/** One model version that wants copies. */
export interface Demand {
  /** Differs between versions. */
  readonly key: string;
  /** What is looked up on the ring: versions of a model share their candidates. */
  readonly model: string;
  /** Of one copy, above 0. */
  readonly costBytes: number;
  readonly copies: number;
  readonly spreadsZones: boolean;
  /** Where copies are now, the ones to keep first; ids of nodes that are gone are passed over. */
  readonly holders: readonly string[];
}

interface Site extends PlacementNode {
  loadBytes: number;
}

/** Node ids for each demand's key, in the order of the ring. */
export type Placement = ReadonlyMap<string, readonly string[]>;

export function place(
  demands: readonly Demand[],
  nodes: readonly PlacementNode[],
  ring: Ring,
): Placement {
  const sites = new Map(nodes.map((node) => [node.id, { ...node, loadBytes: 0 }]));
  const copiesOf = (demand: Demand): number => Math.min(demand.copies, sites.size);
  const total = demands.reduce((sum, one) => sum + one.costBytes * copiesOf(one), 0);
  const boundBytes = sites.size === 0 ? 0 : (LOAD_BOUND * total) / sites.size;
  // The costly first: they are the hardest to place.
  const ordered = [...demands].sort(
    (a, b) => b.costBytes - a.costBytes || (a.key < b.key ? -1 : 1),
  );
  const placed = new Map(ordered.map((demand) => [demand, keep(demand, sites)]));
  const world = { sites, boundBytes, ring };
  for (const [demand, held] of placed) {
    while (held.length < copiesOf(demand)) {
      const site = choose(demand, held, world);
      if (site === undefined) break;
      site.loadBytes += demand.costBytes;
      held.push(site);
    }
  }
  rebalance(placed, world);
  return new Map(
    [...placed].map(([demand, held]) => [demand.key, inRingOrder(demand, held, ring)]),
  );
}

interface World {
  readonly sites: ReadonlyMap<string, Site>;
  readonly boundBytes: number;
  readonly ring: Ring;
}

function keep(demand: Demand, sites: ReadonlyMap<string, Site>): Site[] {
  const held: Site[] = [];
  for (const id of new Set(demand.holders)) {
    const site = sites.get(id);
    if (site === undefined || held.length >= demand.copies) continue;
    site.loadBytes += demand.costBytes;
    held.push(site);
  }
  return held;
}

function fits(demand: Demand, site: Site): boolean {
  const limit = site.memoryLimitBytes;
  return limit === 0 || site.loadBytes + demand.costBytes <= limit;
}

/** The site for one more copy; undefined: there is no room anywhere. */
function choose(demand: Demand, held: readonly Site[], world: World): Site | undefined {
  const zones = new Set(demand.spreadsZones ? held.map((site) => site.zone) : []);
  const isOpen = (site: Site): boolean => !held.includes(site) && fits(demand, site);
  const pick = (isWanted: (site: Site) => boolean): Site | undefined =>
    underBound(demand, world, isWanted) ?? leastLoaded(demand, world, isWanted);
  return pick((site) => isOpen(site) && !zones.has(site.zone)) ?? pick(isOpen);
}

function underBound(
  demand: Demand,
  { sites, boundBytes, ring }: World,
  isWanted: (site: Site) => boolean,
): Site | undefined {
  for (const id of ring.candidates(demand.model)) {
    const site = sites.get(id);
    if (site === undefined || !isWanted(site)) continue;
    if (site.loadBytes + demand.costBytes <= boundBytes) return site;
  }
  return undefined;
}

/** Of equally loaded ones the earlier candidate. */
function leastLoaded(
  demand: Demand,
  { sites, ring }: World,
  isWanted: (site: Site) => boolean,
): Site | undefined {
  let best: Site | undefined;
  for (const id of new Set([...ring.candidates(demand.model), ...ring.nodeIds])) {
    const site = sites.get(id);
    if (site === undefined || !isWanted(site)) continue;
    if (best === undefined || site.loadBytes < best.loadBytes) best = site;
  }
  return best;
}

/** Ends: every move lowers what stands above the bound and raises nothing above it. */
function rebalance(placed: ReadonlyMap<Demand, Site[]>, world: World): void {
  const { sites, boundBytes } = world;
  const isAbove = (site: Site): boolean => site.loadBytes > boundBytes;
  for (let hasMoved = true; hasMoved && [...sites.values()].some(isAbove); ) {
    hasMoved = false;
    for (const [demand, held] of placed) {
      for (const [at, from] of held.entries()) {
        if (!isAbove(from)) continue;
        const to = underBound(demand, world, (site) => isMoveAllowed(demand, held, from, site));
        const next = to ?? roomiest(demand, held, from, world);
        if (next === undefined) continue;
        from.loadBytes -= demand.costBytes;
        next.loadBytes += demand.costBytes;
        held[at] = next;
        hasMoved = true;
      }
    }
  }
}

function isMoveAllowed(demand: Demand, held: readonly Site[], from: Site, to: Site): boolean {
  if (held.includes(to) || !fits(demand, to)) return false;
  if (!demand.spreadsZones || to.zone === from.zone) return true;
  return !held.some((site) => site.zone === to.zone);
}

/** The least loaded of all nodes, when the copy fits there under the bound. */
function roomiest(
  demand: Demand,
  held: readonly Site[],
  from: Site,
  world: World,
): Site | undefined {
  const site = leastLoaded(demand, world, (to) => isMoveAllowed(demand, held, from, to));
  if (site === undefined || site.loadBytes + demand.costBytes > world.boundBytes) return undefined;
  return site;
}

function inRingOrder(demand: Demand, held: readonly Site[], ring: Ring): string[] {
  const order = ring.candidates(demand.model);
  const rank = (id: string): number => (order.includes(id) ? order.indexOf(id) : order.length);
  return held.map(({ id }) => id).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
