// Where copies go: consistent hashing with bounded load, and sticky. Pure: the same demands, nodes
// and holders give the same answer, and an answer given back as holders is answered unchanged.
//   1. A copy stays where it is.
//   2. A missing copy goes to the first candidate on the ring that has room under the bound,
//      else to the node with the least load.
//   3. Copies leave a node that is above the bound for nodes that have room under it: the one that
//      weighs just enough, so that little moves.
// The bound is LOAD_BOUND times the mean cost of the nodes. A node's memory limit is never exceeded
// by a new copy, so a copy may find no place. Work grows with the demands once (what they hold is
// counted) and beyond that with what moves, not with demands times nodes.
import { LoadTree } from './load-tree.ts';
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
  /** Differs between versions; breaks ties. */
  readonly key: string;
  /** What is looked up on the ring: versions of a model share their candidates. */
  readonly model: string;
  /** Of one copy, above 0. */
  readonly costBytes: number;
  readonly copies: number;
  readonly spreadsZones: boolean;
  /** Takes memory only while it is called: nodes are given more of them than they have room for. */
  readonly isOnDemand?: boolean;
  /** Where copies are now, the ones to keep first; ids of nodes that are gone are passed over. */
  readonly holders: readonly string[];
}

const NONE: readonly never[] = [];

interface Site extends PlacementNode {
  /** In the order of the ids. */
  readonly index: number;
  loadBytes: number;
  /** Of it, what stays in memory: all but what is on demand. */
  residentBytes: number;
}

/** Node ids in the order of the ring, for each demand. */
export function place(
  demands: readonly Demand[],
  nodes: readonly PlacementNode[],
  ring: Ring,
): readonly (readonly string[])[] {
  const world = new World(demands, nodes, ring);
  const placed: Placed[] = [];
  const targets = demands.map((demand, at): readonly string[] => {
    if (world.keepsAll(demand)) return demand.holders;
    placed.push({ demand, held: world.keep(demand), at });
    return NONE;
  });
  placeMissing(placed, world);
  rebalance(demands, targets, placed, world);
  for (const { demand, held, at } of placed) {
    targets[at] = inRingOrder(
      demand.model,
      held.map(({ id }) => id),
      ring,
    );
  }
  return targets;
}

/** A demand whose copies are not all where they stay. */
interface Placed {
  readonly demand: Demand;
  readonly held: Site[];
  /** Among the demands. */
  readonly at: number;
}

function placeMissing(placed: readonly Placed[], world: World): void {
  const short = placed.filter(({ demand, held }) => held.length < world.copiesOf(demand));
  // The costly first: they are the hardest to place.
  short.sort(
    ({ demand: a }, { demand: b }) => b.costBytes - a.costBytes || (a.key < b.key ? -1 : 1),
  );
  for (const { demand, held } of short) {
    while (held.length < world.copiesOf(demand)) {
      const site = choose(demand, held, world);
      if (site === undefined) break;
      world.add(site, demand);
      held.push(site);
    }
  }
}

/** The nodes with what they bear so far. */
class World {
  readonly sites: readonly Site[];
  readonly ring: Ring;
  readonly boundBytes: number;
  readonly #byId: ReadonlyMap<string, Site>;
  /** Made when first asked: most plans need no look at all the nodes. */
  #tree: LoadTree | undefined;

  constructor(demands: readonly Demand[], nodes: readonly PlacementNode[], ring: Ring) {
    const sorted = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
    this.sites = sorted.map((node, index) => ({ ...node, index, loadBytes: 0, residentBytes: 0 }));
    this.ring = ring;
    this.#byId = new Map(this.sites.map((site) => [site.id, site]));
    let totalBytes = 0;
    for (const demand of demands) totalBytes += demand.costBytes * this.copiesOf(demand);
    this.boundBytes = nodes.length === 0 ? 0 : (LOAD_BOUND * totalBytes) / nodes.length;
  }

  copiesOf(demand: Demand): number {
    return Math.min(demand.copies, this.sites.length);
  }

  /** Whether all copies are where they are to be, one or in the ring's order; counts them then. */
  keepsAll(demand: Demand): boolean {
    const { holders } = demand;
    if (holders.length === 0 || holders.length !== this.copiesOf(demand)) return false;
    if (!holders.every((id) => this.#byId.has(id))) return false;
    if (holders.length > 1 && !this.#isInRingOrder(demand)) return false;
    for (const id of holders) {
      const site = this.#byId.get(id);
      if (site !== undefined) bear(site, demand);
    }
    return true;
  }

  #isInRingOrder({ model, holders }: Demand): boolean {
    const sorted = inRingOrder(model, holders, this.ring);
    return new Set(holders).size === holders.length && sorted.every((id, at) => id === holders[at]);
  }

  site(id: string): Site | undefined {
    return this.#byId.get(id);
  }

  /** The copies that stay, counted. */
  keep(demand: Demand): Site[] {
    const held: Site[] = [];
    for (const id of demand.holders) {
      const site = this.#byId.get(id);
      if (site === undefined || held.length >= demand.copies || held.includes(site)) continue;
      bear(site, demand);
      held.push(site);
    }
    return held;
  }

  add(site: Site, demand: Demand): void {
    bear(site, demand);
    this.#told(site);
  }

  remove(site: Site, demand: Demand): void {
    bear(site, demand, -1);
    this.#told(site);
  }

  #told(site: Site): void {
    this.#tree?.set(site.index, site.loadBytes, roomOf(site));
  }

  /** The first candidate that stays under the bound. */
  underBound(demand: Demand, isWanted: (site: Site) => boolean): Site | undefined {
    for (const id of this.ring.candidates(demand.model)) {
      const site = this.#byId.get(id);
      if (site === undefined || site.loadBytes + demand.costBytes > this.boundBytes) continue;
      if (isWanted(site)) return site;
    }
    return undefined;
  }

  /** Of equally loaded ones the earlier candidate. */
  leastLoaded(demand: Demand, isWanted: (site: Site) => boolean): Site | undefined {
    let best: Site | undefined;
    for (const id of this.ring.candidates(demand.model)) {
      const site = this.#byId.get(id);
      if (site === undefined || site.loadBytes >= (best?.loadBytes ?? Infinity)) continue;
      if (isWanted(site)) best = site;
    }
    const found = this.#loads().least(best?.loadBytes ?? Infinity, demand.costBytes, (index) => {
      const site = this.sites[index];
      return site !== undefined && isWanted(site);
    });
    return this.sites[found] ?? best;
  }

  #loads(): LoadTree {
    if (this.#tree !== undefined) return this.#tree;
    this.#tree = new LoadTree(this.sites.length);
    for (const site of this.sites) this.#tree.set(site.index, site.loadBytes, roomOf(site));
    return this.#tree;
  }
}

function bear(site: Site, { costBytes, isOnDemand }: Demand, times = 1): void {
  site.loadBytes += times * costBytes;
  if (isOnDemand !== true) site.residentBytes += times * costBytes;
}

function roomOf({ memoryLimitBytes, residentBytes }: Site): number {
  return memoryLimitBytes === 0 ? Infinity : memoryLimitBytes - residentBytes;
}

/** The site for one more copy; undefined: there is no room anywhere. */
function choose(demand: Demand, held: readonly Site[], world: World): Site | undefined {
  const isOpen = (site: Site): boolean => !held.includes(site) && roomOf(site) >= demand.costBytes;
  const pick = (isWanted: (site: Site) => boolean): Site | undefined =>
    world.underBound(demand, isWanted) ?? world.leastLoaded(demand, isWanted);
  if (!demand.spreadsZones || held.length === 0) return pick(isOpen);
  const zones = new Set(held.map(({ zone }) => zone));
  return pick((site) => isOpen(site) && !zones.has(site.zone)) ?? pick(isOpen);
}

/**
 * Adds what it moves to `placed`. Ends: every move lowers what stands above the bound and raises
 * nothing above it.
 */
function rebalance(
  demands: readonly Demand[],
  targets: readonly (readonly string[])[],
  placed: Placed[],
  world: World,
): void {
  const { sites, boundBytes } = world;
  const above = sites.filter(({ loadBytes }) => loadBytes > boundBytes);
  if (above.length === 0) return;
  above.sort((a, b) => b.loadBytes - a.loadBytes || a.index - b.index);
  const ids = new Set(above.map(({ id }) => id));
  for (const [at, demand] of demands.entries()) {
    const target = targets[at] ?? NONE;
    if (!target.some((id) => ids.has(id))) continue;
    placed.push({ demand, held: target.flatMap((id) => world.site(id) ?? []), at });
  }
  const copiesOf = new Map<Site, Placed[]>(above.map((site) => [site, []]));
  for (const one of placed) {
    for (const site of one.held) copiesOf.get(site)?.push(one);
  }
  for (const list of copiesOf.values()) {
    list.sort(
      ({ demand: a }, { demand: b }) => a.costBytes - b.costBytes || (a.key < b.key ? -1 : 1),
    );
  }
  for (let hasMoved = true; hasMoved; ) {
    hasMoved = false;
    for (const [site, copies] of copiesOf) {
      while (site.loadBytes > boundBytes && moveOne(site, copies, world)) hasMoved = true;
    }
  }
}

/**
 * Moves the lightest copy that brings the site under the bound, else the heaviest that can be
 * moved. False: none can.
 */
function moveOne(from: Site, copies: Placed[], world: World): boolean {
  const excessBytes = from.loadBytes - world.boundBytes;
  const middle = firstFrom(copies, excessBytes);
  for (let step = 0; step < copies.length; step += 1) {
    const at = middle + step < copies.length ? middle + step : copies.length - 1 - step;
    const copy = copies[at];
    const to = copy === undefined ? undefined : targetOf(copy, from, world);
    if (copy === undefined || to === undefined) continue;
    world.remove(from, copy.demand);
    world.add(to, copy.demand);
    copy.held[copy.held.indexOf(from)] = to;
    copies.splice(at, 1);
    return true;
  }
  return false;
}

/** Index of the first that costs so much, among those ordered by cost; the length: none does. */
function firstFrom(copies: readonly Placed[], leastBytes: number): number {
  let [low, high] = [0, copies.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((copies[middle]?.demand.costBytes ?? 0) < leastBytes) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where a copy can go without bringing its new node above the bound. */
function targetOf({ demand, held }: Placed, from: Site, world: World): Site | undefined {
  if (demand.costBytes > world.boundBytes) return undefined;
  const isAllowed = (to: Site): boolean => isMoveAllowed(demand, held, from, to);
  const candidate = world.underBound(demand, isAllowed);
  if (candidate !== undefined) return candidate;
  const site = world.leastLoaded(demand, isAllowed);
  if (site === undefined || site.loadBytes + demand.costBytes > world.boundBytes) return undefined;
  return site;
}

function isMoveAllowed(demand: Demand, held: readonly Site[], from: Site, to: Site): boolean {
  if (held.includes(to) || roomOf(to) < demand.costBytes) return false;
  if (!demand.spreadsZones || to.zone === from.zone) return true;
  return !held.some((site) => site.zone === to.zone);
}

function inRingOrder(model: string, ids: readonly string[], ring: Ring): readonly string[] {
  if (ids.length < 2) return ids;
  const order = ring.candidates(model);
  const rank = (id: string): number => (order.includes(id) ? order.indexOf(id) : order.length);
  return [...ids].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
