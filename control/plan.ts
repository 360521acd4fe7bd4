// The plan: what the catalog wants served and which nodes live, turned into the assignment's
// entries. Pure. What was assigned before is kept where it may be (placement.ts); two things never
// leave a gap:
//   - a version that is promoted takes the weight only when a copy of it is ready; until then the
//     one that served stays and serves, for ever if the new one can't be loaded;
//   - a copy that moves between live nodes stays on the old one until the new one is ready.
// Where nothing was assigned before (a registry that lost it), what the nodes hold ready counts.
import type { ModelDoc, VersionDoc } from '../catalog/documents.ts';
import {
  type AssignmentEntry,
  type CopyRecord,
  type NodeRecord,
  UNLOADED,
} from '../registry/registry.ts';
import { type Demand, place } from './placement.ts';
import type { Ring } from './ring.ts';

/** Memory that a version takes when loaded, over the bytes of its files. */
export const COST_FACTOR = 1.5;

export interface PlannedModel {
  readonly model: ModelDoc;
  /** Every version that the model names or that was assigned before and is still there. */
  readonly versions: readonly VersionDoc[];
}

export interface PlanInput {
  readonly models: readonly PlannedModel[];
  /** The live ones. */
  readonly nodes: readonly NodeRecord[];
  readonly copies: ReadonlyMap<string, readonly CopyRecord[]>;
  readonly previous: readonly AssignmentEntry[];
  /** Over the SERVING nodes. */
  readonly ring: Ring;
}

/** Takes copies and new ones: it lives and is not draining. */
export function isServing(node: NodeRecord): boolean {
  return node.state === 'SERVING';
}

/** One version of the assignment to be, before its nodes are known. */
interface Wanted {
  readonly version: VersionDoc;
  readonly model: ModelDoc;
  readonly isServing: boolean;
  /** Copies: 0 is known, placed nowhere. */
  readonly copies: number;
  /** Why nowhere; '' else. */
  readonly reason: string;
}

/** The assignment's entries, ordered by model and version. */
export function plan(input: PlanInput): readonly AssignmentEntry[] {
  const previous = new Map(input.previous.map((entry) => [keyOf(entry), entry]));
  const serving = input.nodes.filter(isServing);
  const ready = readyNodes(input.copies, new Set(serving.map(({ id }) => id)));
  const wanted = input.models.flatMap((one) => wantedOf(one, previous, ready));
  const demands = wanted
    .filter(({ copies }) => copies > 0)
    .map((one) => demandOf(one, holdersOf(keyOf(one.version), previous, ready)));
  const placed = place(demands, serving, input.ring);
  const entries = wanted.map((one): AssignmentEntry => {
    const key = keyOf(one.version);
    const targets = placed.get(key) ?? [];
    return {
      model: one.version.model,
      version: one.version.version,
      manifestSha256: one.version.manifestSha256,
      nodes: withLeaving(targets, previous.get(key), ready.get(key)),
      weight: one.isServing ? 1 : 0,
      reason: one.reason,
      isIdempotent: one.model.policy.isIdempotent,
    };
  });
  return entries.sort((a, b) => compare(a.model, b.model) || a.version - b.version);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Names the content too: a version made again under the same number is another one. */
function keyOf(one: Pick<AssignmentEntry, 'model' | 'version' | 'manifestSha256'>): string {
  return `${one.model}/${one.version}/${one.manifestSha256}`;
}

function readyNodes(
  copies: PlanInput['copies'],
  serving: ReadonlySet<string>,
): ReadonlyMap<string, ReadonlySet<string>> {
  const ready = new Map<string, Set<string>>();
  for (const [nodeId, list] of copies) {
    if (!serving.has(nodeId)) continue;
    for (const copy of list) {
      if (copy.state !== 'READY') continue;
      const nodes = ready.get(keyOf(copy)) ?? new Set();
      ready.set(keyOf(copy), nodes.add(nodeId));
    }
  }
  return ready;
}

/**
 * Versions of a model that the assignment names: the loaded ones; the serving one also when it is
 * not loaded, so that the cluster knows the model; and the one that served until the new one is
 * ready.
 */
function wantedOf(
  { model, versions }: PlannedModel,
  previous: ReadonlyMap<string, AssignmentEntry>,
  ready: ReadonlyMap<string, ReadonlySet<string>>,
): Wanted[] {
  const copies = Math.max(1, model.policy.minCopies);
  const old = servingBefore(model, versions, previous, ready);
  const isHandingOver = old !== undefined;
  return versions.flatMap((version): Wanted[] => {
    const number = version.version;
    const isLoaded = model.loadedVersions.includes(number);
    const isServing = model.servingVersion === number;
    if (version === old) return [{ version, model, isServing: true, copies, reason: '' }];
    if (!isLoaded && !isServing) return [];
    const isPlaced = isLoaded && version.state === 'READY';
    return [
      {
        version,
        model,
        isServing: isServing && isPlaced && !isHandingOver,
        copies: isPlaced ? copies : 0,
        reason: isPlaced ? '' : version.state === 'READY' ? UNLOADED : reasonOf(version),
      },
    ];
  });
}

/** Never '': that would say that it is wanted. */
function reasonOf({ state, reason }: VersionDoc): string {
  return reason === '' ? state : reason;
}

/** The version that goes on serving since the promoted one has no ready copy yet. */
function servingBefore(
  model: ModelDoc,
  versions: readonly VersionDoc[],
  previous: ReadonlyMap<string, AssignmentEntry>,
  ready: ReadonlyMap<string, ReadonlySet<string>>,
): VersionDoc | undefined {
  const serving = versions.find(({ version }) => version === model.servingVersion);
  if (serving === undefined || !model.loadedVersions.includes(serving.version)) return undefined;
  if ((ready.get(keyOf(serving))?.size ?? 0) > 0) return undefined;
  const others = versions.filter((version) => {
    return version !== serving && (ready.get(keyOf(version))?.size ?? 0) > 0;
  });
  if (previous.size > 0) {
    return others.find((version) => (previous.get(keyOf(version))?.weight ?? 0) > 0);
  }
  // Which one served is not known: the newest before the promoted one, most likely.
  return others.sort((a, b) => b.version - a.version)[0];
}

function holdersOf(
  key: string,
  previous: ReadonlyMap<string, AssignmentEntry>,
  ready: ReadonlyMap<string, ReadonlySet<string>>,
): readonly string[] {
  return previous.get(key)?.nodes ?? [...(ready.get(key) ?? [])];
}

function demandOf(one: Wanted, holders: readonly string[]): Demand {
  return {
    key: keyOf(one.version),
    model: one.version.model,
    costBytes: Math.max(1, Math.ceil(one.version.sizeBytes * COST_FACTOR)),
    copies: one.copies,
    spreadsZones: one.model.policy.spreadsZones,
    holders,
  };
}

/** The targets, then those that still serve in place of targets that are not ready. */
function withLeaving(
  targets: readonly string[],
  before: AssignmentEntry | undefined,
  ready: ReadonlySet<string> | undefined,
): readonly string[] {
  if (before === undefined || ready === undefined || targets.length === 0) return targets;
  const missing = targets.filter((id) => !ready.has(id)).length;
  const leaving = before.nodes.filter((id) => ready.has(id) && !targets.includes(id));
  return [...targets, ...leaving.slice(0, missing)];
}

/** Share of the assigned copies that are on nodes that are no longer alive, 0 to 1. */
export function lostShare(
  previous: readonly AssignmentEntry[],
  nodes: readonly Pick<NodeRecord, 'id'>[],
): number {
  const live = new Set(nodes.map(({ id }) => id));
  const assigned = previous.flatMap((entry) => entry.nodes);
  if (assigned.length === 0) return 0;
  return assigned.filter((id) => !live.has(id)).length / assigned.length;
}
