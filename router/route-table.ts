// Where calls can go: assignment, live nodes and their copies, joined into the READY copies of each
// model version. Pure: what the registry said goes in, answers for calls come out.
import { requestForUnknownModel, shownName } from '../common/names.ts';
import { Code, notFound, StatusError, unavailable } from '../common/status.ts';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentEntry,
  type AssignmentShard,
  type CopyRecord,
  type NodeRecord,
  UNLOADED,
} from '../registry/registry.ts';

export type Resolution =
  /** Any of these nodes can answer. */
  | {
      readonly kind: 'ready';
      readonly version: number;
      /** Not empty. */
      readonly nodes: readonly string[];
      readonly isIdempotent: boolean;
      /** The model has other versions too: a call without a version must be told which it gets. */
      readonly isOneOfSeveral: boolean;
    }
  /** Known, and a copy may become READY. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'refused'; readonly error: StatusError };

export type IndexState = 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE';

export interface IndexEntry {
  readonly model: string;
  readonly version: number;
  readonly state: IndexState;
  /** Why it is UNAVAILABLE, '' else. */
  readonly reason: string;
}

interface VersionRoute {
  readonly version: number;
  /** Undefined: assigned no more, but still READY somewhere. */
  readonly entry: AssignmentEntry | undefined;
  /** Ids of the live nodes whose copy is READY. */
  readonly ready: string[];
  /** Those of them that drain: they serve on until there is another one, and no longer. */
  readonly draining: string[];
  /** Why the copy failed, by node id. */
  readonly failures: Map<string, string>;
  isUnloading: boolean;
  /** Unloaded on purpose: what nodes still hold is on its way out, and gets no calls. */
  isLeaving: boolean;
  /** What calls for this version get; made when all copies are known. */
  resolution: Resolution;
}

interface ModelRoute {
  readonly versions: Map<number, VersionRoute>;
  isIdempotent: boolean;
  /** The versions that share the calls without a version: with a weight, and READY. */
  shared: readonly VersionRoute[];
  sharedWeight: number;
  /** What such calls get while there is none of those. */
  otherwise: Resolution;
}

const WAITING: Resolution = { kind: 'waiting' };

export class RouteTable {
  #nodes: ReadonlyMap<string, NodeRecord> = new Map();
  #copies: ReadonlyMap<string, readonly CopyRecord[]> = new Map();
  readonly #shards = new Map<number, AssignmentShard>();
  #models: ReadonlyMap<string, ModelRoute> = new Map();

  /** Replaces the live nodes and what they hold. */
  setNodes(nodes: readonly NodeRecord[], copies: ReadonlyMap<string, readonly CopyRecord[]>): void {
    this.#nodes = new Map(nodes.map((node) => [node.id, node]));
    this.#copies = copies;
    this.#rebuild();
  }

  /** Takes the shards that are newer than those it has; an older leader's are refused. */
  addShards(shards: readonly AssignmentShard[]): void {
    for (const shard of shards) {
      const held = this.#shards.get(shard.index);
      if (held === undefined || isNewer(shard, held)) this.#shards.set(shard.index, shard);
    }
    this.#rebuild();
  }

  shard(index: number): AssignmentShard | undefined {
    return this.#shards.get(index);
  }

  node(id: string): NodeRecord | undefined {
    return this.#nodes.get(id);
  }

  /** All live nodes, draining ones too. */
  nodes(): Iterable<NodeRecord> {
    return this.#nodes.values();
  }

  copies(): ReadonlyMap<string, readonly CopyRecord[]> {
    return this.#copies;
  }

  /** False until a leader's first plan was read: nothing is known to be unknown before. */
  get isComplete(): boolean {
    return this.#shards.size === ASSIGNMENT_SHARDS;
  }

  isKnown(model: string): boolean {
    return this.#models.has(model);
  }

  /**
   * @param version undefined: the model's weights choose, among the versions that are READY
   * @param random in [0, 1)
   */
  resolve(model: string, version: number | undefined, random: () => number): Resolution {
    const route = this.#models.get(model);
    if (route === undefined) {
      return this.isComplete
        ? refused(notFound(`${requestForUnknownModel(model)} is not found`))
        : WAITING;
    }
    if (version === undefined) return pickByWeight(route, random) ?? route.otherwise;
    return (
      route.versions.get(version)?.resolution ??
      refused(notFound(`${requestForUnknownModel(model)} version ${version} is not found`))
    );
  }

  isReady(model: string, version: number | undefined): boolean {
    return this.resolve(model, version, () => 0).kind === 'ready';
  }

  /** Ids of the nodes with a READY copy: of this version, of any version, of any model. */
  readyNodes(model?: string, version?: number): ReadonlySet<string> {
    const routes =
      model === undefined ? [...this.#models.values()] : [this.#models.get(model) ?? NO_ROUTE];
    const versions = routes.flatMap((route) => [...route.versions.values()]);
    const wanted = versions.filter((one) => version === undefined || one.version === version);
    return new Set(wanted.flatMap((one) => one.ready));
  }

  /** No model is still on its way to its first READY copy: each serves or has failed. */
  get isSettled(): boolean {
    for (const model of this.#models.keys()) {
      if (this.resolve(model, undefined, () => 0).kind === 'waiting') return false;
    }
    return true;
  }

  /** Every known version, ordered by model, then version. */
  index(): readonly IndexEntry[] {
    const entries: IndexEntry[] = [];
    for (const [model, route] of this.#models) {
      for (const one of route.versions.values()) {
        entries.push({ model, version: one.version, ...stateOf(one) });
      }
    }
    return entries.sort(
      (a, b) => (a.model < b.model ? -1 : a.model > b.model ? 1 : 0) || a.version - b.version,
    );
  }

  #rebuild(): void {
    const models = new Map<string, ModelRoute>();
    for (const shard of this.#shards.values()) {
      for (const entry of shard.entries) addEntry(models, entry);
    }
    for (const [nodeId, copies] of this.#copies) {
      const node = this.#nodes.get(nodeId);
      if (node === undefined) continue;
      for (const copy of copies) addCopy(models, node, copy);
    }
    for (const [model, route] of models) settle(model, route);
    this.#models = models;
  }
}

function newRoute(): ModelRoute {
  return {
    versions: new Map(),
    isIdempotent: true,
    shared: [],
    sharedWeight: 0,
    otherwise: WAITING,
  };
}

const NO_ROUTE = newRoute();

function isNewer(shard: AssignmentShard, held: AssignmentShard): boolean {
  return shard.epoch > held.epoch || (shard.epoch === held.epoch && shard.revision > held.revision);
}

function routeOf(version: number, entry: AssignmentEntry | undefined): VersionRoute {
  return {
    version,
    entry,
    ready: [],
    draining: [],
    failures: new Map(),
    isUnloading: false,
    isLeaving: false,
    resolution: WAITING,
  };
}

function addEntry(models: Map<string, ModelRoute>, entry: AssignmentEntry): void {
  let route = models.get(entry.model);
  if (route === undefined) {
    route = newRoute();
    models.set(entry.model, route);
  }
  route.isIdempotent &&= entry.isIdempotent;
  route.versions.set(entry.version, routeOf(entry.version, entry));
}

/** A copy of other content than assigned is as if it were not there. */
function addCopy(
  models: ReadonlyMap<string, ModelRoute>,
  node: NodeRecord,
  copy: CopyRecord,
): void {
  const route = models.get(copy.model);
  if (route === undefined) return;
  let version = route.versions.get(copy.version);
  const isReady = copy.state === 'READY';
  if (version === undefined) {
    if (!isReady) return;
    version = routeOf(copy.version, undefined);
    route.versions.set(copy.version, version);
  }
  const { entry } = version;
  if (entry !== undefined && entry.manifestSha256 !== copy.manifestSha256) return;
  if (isReady) (node.state === 'SERVING' ? version.ready : version.draining).push(node.id);
  else if (copy.state === 'UNLOADING') version.isUnloading = true;
  else if (copy.state === 'FAILED' || copy.state === 'QUARANTINED') {
    version.failures.set(node.id, copy.reason);
  }
}

/** Makes the answers for calls, so that a call only looks one up. */
function settle(model: string, route: ModelRoute): void {
  const all = [...route.versions.values()];
  for (const { ready, draining } of all) if (ready.length === 0) ready.push(...draining);
  const isUnloaded = all.some(({ entry }) => entry?.reason === UNLOADED);
  for (const one of all) {
    one.isLeaving = isUnloaded && (one.entry === undefined || one.entry.reason === UNLOADED);
  }
  for (const one of all) one.resolution = resolutionOf(model, route, one);
  const weighted = all.filter((one) => weightOf(one) > 0);
  route.shared = weighted.filter((one) => one.ready.length > 0);
  route.sharedWeight = route.shared.reduce((sum, one) => sum + weightOf(one), 0);
  // While no version with a weight is READY, one that is being replaced still serves where it is.
  const replaced = all.filter((one) => one.entry === undefined && !one.isLeaving);
  const stopgap =
    replaced.sort((a, b) => b.version - a.version)[0] ??
    weighted.find((one) => !hasFailed(one)) ??
    weighted[0];
  route.otherwise = stopgap?.resolution ?? refused(noneAvailable(model, all));
}

/** What keeps a version from being served is told, unless nobody wants it served. */
function noneAvailable(model: string, all: readonly VersionRoute[]): StatusError {
  const told = all.flatMap(({ version, entry }) => {
    const reason = entry?.reason ?? '';
    return reason === '' || reason === UNLOADED ? [] : [`version ${version}: ${reason}`];
  });
  const why = told.length === 0 ? '' : ` (${told.join('; ')})`;
  return notFound(`${requestForUnknownModel(model)} has no available versions${why}`);
}

function resolutionOf(model: string, route: ModelRoute, one: VersionRoute): Resolution {
  if (one.ready.length === 0 || one.isLeaving) return unready(model, one);
  return {
    kind: 'ready',
    version: one.version,
    nodes: one.ready,
    isIdempotent: route.isIdempotent,
    isOneOfSeveral: route.versions.size > 1,
  };
}

function weightOf(route: VersionRoute): number {
  return route.entry?.weight ?? 0;
}

function pickByWeight(route: ModelRoute, random: () => number): Resolution | undefined {
  const { shared, sharedWeight } = route;
  if (shared.length < 2) return shared[0]?.resolution;
  let left = random() * sharedWeight;
  for (const one of shared) {
    left -= weightOf(one);
    if (left < 0) return one.resolution;
  }
  return shared.at(-1)?.resolution;
}

/** On every node that is to hold it, so that waiting is in vain until the plan changes. */
function hasFailed(route: VersionRoute): boolean {
  const nodes = route.entry?.nodes ?? [];
  return nodes.length > 0 && nodes.every((id) => route.failures.has(id));
}

function reasonOf(route: VersionRoute): string {
  const [reason] = route.failures.values();
  return reason ?? '';
}

function unready(model: string, route: VersionRoute): Resolution {
  const text = `${requestForUnknownModel(model)} version ${route.version} is not at ready state`;
  const away = route.entry?.reason ?? (route.isLeaving ? UNLOADED : '');
  if (away !== '') return refused(unavailable(`${text} (${away})`));
  if (!hasFailed(route)) return WAITING;
  return refused(unavailable(`${text} (FAILED: ${reasonOf(route)})`));
}

function stateOf(route: VersionRoute): { state: IndexState; reason: string } {
  const isHeld = route.ready.length > 0;
  if (isHeld) return { state: route.isLeaving ? 'UNLOADING' : 'READY', reason: '' };
  if (hasFailed(route)) return { state: 'UNAVAILABLE', reason: reasonOf(route) };
  if (route.isUnloading) return { state: 'UNLOADING', reason: '' };
  const away = route.entry?.reason ?? '';
  return away === '' ? { state: 'LOADING', reason: '' } : { state: 'UNAVAILABLE', reason: away };
}

function refused(error: StatusError): Resolution {
  return { kind: 'refused', error };
}

/** What Triton says of statistics of a model that it does not have. */
export function statisticsOfUnknown(model: string): StatusError {
  const shown = shownName(model);
  return new StatusError(Code.INVALID_ARGUMENT, `requested model '${shown}' is not available`);
}
