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
import { admitted, type DeathBook } from './deaths.ts';
import type { ModelSize } from './load-book.ts';
import { type Demand, place } from './placement.ts';
import { ReadyCopies, type ReadyCopy } from './ready-copies.ts';
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
  /** What the load of models asks for; those that it does not know have little. */
  readonly sizes?: { get(model: string): ModelSize | undefined };
  /** Absent: no version is suspect. */
  readonly deaths?: Pick<DeathBook, 'of' | 'mostNew'>;
  /** Over the SERVING nodes. */
  readonly ring: Ring;
}

/** Takes copies and new ones: it lives and is not draining. */
export function isServing(node: NodeRecord): boolean {
  return node.state === 'SERVING';
}

/** What is known of one model before it is planned. */
interface Known {
  readonly previous: readonly AssignmentEntry[];
  readonly ready: readonly ReadyCopy[];
  readonly size: ModelSize | undefined;
  /** Nothing was assigned before at all: what is ready tells what was. */
  readonly isNew: boolean;
}

/** One version of the assignment to be, before its nodes are known. */
interface Wanted {
  readonly version: VersionDoc;
  readonly model: ModelDoc;
  readonly isServing: boolean;
  /** Undefined: it is known, placed nowhere. */
  readonly demand: Demand | undefined;
  /** Why nowhere; '' else. */
  readonly reason: string;
  readonly before: AssignmentEntry | undefined;
  readonly trafficRank: number;
  readonly isOnDemand: boolean;
  /** Nodes that have it ready. */
  readonly readyIds: readonly string[];
}

const NONE: readonly never[] = [];
const UNKNOWN: Known = { previous: NONE, ready: NONE, size: undefined, isNew: true };

/** The assignment's entries, ordered by model and version. */
export function plan(input: PlanInput): readonly AssignmentEntry[] {
  return new Plans().make(input);
}

/** A model as it was planned last. */
interface Slot {
  planned: PlannedModel;
  known: Known;
  wanted: readonly Wanted[];
  /** What came of it. */
  entries: readonly AssignmentEntry[];
}

/**
 * Makes one plan after another, the same that `plan` would, and works out anew only the models
 * whose documents, entries or ready copies changed since the last. An entry that did not change is
 * the very object that `previous` holds.
 */
export class Plans {
  readonly #slots = new Map<string, Slot>();
  #ordered: readonly Slot[] = NONE;
  readonly #ready = new ReadyCopies();
  #last: readonly AssignmentEntry[] = NONE;

  make(input: PlanInput): readonly AssignmentEntry[] {
    const serving = input.nodes.filter(isServing);
    const slots = this.#update(input, new Set(serving.map(({ id }) => id)));
    const demands: Demand[] = [];
    for (const { wanted } of slots) {
      for (const { demand } of wanted) if (demand !== undefined) demands.push(demand);
    }
    const targets = place(demands, serving, input.ring);
    let at = 0;
    const all: AssignmentEntry[] = [];
    for (const slot of slots) {
      const start = all.length;
      for (const one of slot.wanted) {
        const target = one.demand === undefined ? NONE : (targets[at] ?? NONE);
        all.push(entryOf(one, target, input.deaths));
        if (one.demand !== undefined) at += 1;
      }
      const { entries } = slot;
      const isSame =
        all.length - start === entries.length && entries.every((e, i) => e === all[start + i]);
      if (!isSame) slot.entries = all.slice(start);
    }
    this.#last = isOrdered(all) ? all : all.sort(inOrder);
    return this.#last;
  }

  /** The models, in their order, with what is wanted of them now. */
  #update(input: PlanInput, serving: ReadonlySet<string>): readonly Slot[] {
    const isNew = input.previous.length === 0;
    const changed = this.#ready.update(input.copies, serving);
    const previous = input.previous === this.#last ? undefined : byModel(input.previous);
    const slots = input.models.map((planned, at): Slot => {
      const { name } = planned.model;
      const slot = this.#slotOf(planned, at);
      const found = previous === undefined ? slot.entries : (previous.get(name) ?? NONE);
      const { known } = slot;
      const size = input.sizes?.get(name);
      const isSame =
        slot.planned === planned &&
        known !== UNKNOWN &&
        known.isNew === isNew &&
        known.size === size &&
        isSameList(known.previous, found) &&
        !changed.has(name);
      if (isSame) return slot;
      slot.planned = planned;
      slot.known = { previous: found, ready: this.#ready.of(name), size, isNew };
      slot.wanted = wantedOf(planned, slot.known);
      return slot;
    });
    this.#ordered = slots;
    if (this.#slots.size > slots.length) this.#forget(input.models);
    return slots;
  }

  /** Most models come at the same place as the last time. */
  #slotOf(planned: PlannedModel, at: number): Slot {
    const there = this.#ordered[at];
    if (there?.planned === planned) return there;
    const { name } = planned.model;
    const known = this.#slots.get(name);
    if (known !== undefined) return known;
    const slot = { planned, known: UNKNOWN, wanted: NONE, entries: NONE };
    this.#slots.set(name, slot);
    return slot;
  }

  #forget(models: readonly PlannedModel[]): void {
    const names = new Set(models.map(({ model }) => model.name));
    for (const name of this.#slots.keys()) if (!names.has(name)) this.#slots.delete(name);
  }
}

function isSameList<T>(before: readonly T[], now: readonly T[]): boolean {
  return before === now || (before.length === now.length && now.every((e, at) => e === before[at]));
}

function inOrder(a: AssignmentEntry, b: AssignmentEntry): number {
  if (a.model !== b.model) return a.model < b.model ? -1 : 1;
  return a.version - b.version;
}

function isOrdered(entries: readonly AssignmentEntry[]): boolean {
  let last: AssignmentEntry | undefined;
  for (const entry of entries) {
    if (last !== undefined && inOrder(last, entry) > 0) return false;
    last = entry;
  }
  return true;
}

function entryOf(
  one: Wanted,
  targets: readonly string[],
  book: PlanInput['deaths'],
): AssignmentEntry {
  const { version, before, reason, trafficRank, isOnDemand } = one;
  const deaths = book?.of(version).known ?? 0;
  const held = before?.nodes ?? NONE;
  const now = book === undefined ? targets : admitted(book, version, targets, one.readyIds, held);
  const nodes = isOnDemand ? now : withLeaving(now, before, one.readyIds);
  const weight = one.isServing ? 1 : 0;
  const { isIdempotent, allowsHedging } = one.model.policy;
  const isHedged = allowsHedging && isIdempotent;
  if (
    before?.weight === weight &&
    before.reason === reason &&
    before.isIdempotent === isIdempotent &&
    (before.isHedged ?? false) === isHedged &&
    (before.trafficRank ?? 0) === trafficRank &&
    (before.deaths ?? 0) === deaths &&
    (before.isOnDemand ?? false) === isOnDemand &&
    isSameList(before.nodes, nodes)
  ) {
    return before;
  }
  const { model, manifestSha256 } = version;
  const entry = { model, version: version.version, manifestSha256, nodes, weight, reason };
  return {
    ...{ ...entry, isIdempotent },
    ...(isHedged && { isHedged }),
    ...(trafficRank > 0 && { trafficRank }),
    ...(deaths > 0 && { deaths }),
    ...(isOnDemand && { isOnDemand, costBytes: coarse(costOf(version)) }),
  };
}

/** The content too: a version made again under the same number is another one. */
function isOf(
  one: Pick<AssignmentEntry, 'version' | 'manifestSha256'>,
  version: VersionDoc,
): boolean {
  return one.version === version.version && one.manifestSha256 === version.manifestSha256;
}

function byModel(entries: readonly AssignmentEntry[]): ReadonlyMap<string, AssignmentEntry[]> {
  const found = new Map<string, AssignmentEntry[]>();
  for (const entry of entries) {
    const list = found.get(entry.model);
    if (list === undefined) found.set(entry.model, [entry]);
    else list.push(entry);
  }
  return found;
}

function readyIdsOf(version: VersionDoc, { ready }: Known): readonly string[] {
  if (ready.length === 0) return NONE;
  return ready.filter(({ copy }) => isOf(copy, version)).map(({ nodeId }) => nodeId);
}

/**
 * Versions of a model that the assignment names: the loaded ones; the serving one also when it is
 * not loaded, so that the cluster knows the model; and the one that served until the new one is
 * ready.
 */
function wantedOf({ model, versions }: PlannedModel, known: Known): Wanted[] {
  const old = servingBefore(model, versions, known);
  const wanted: Wanted[] = [];
  for (const version of versions) {
    const isLoaded = model.loadedVersions.includes(version.version);
    const isServing = model.servingVersion === version.version;
    if (version !== old && !isLoaded && !isServing) continue;
    const isPlaced = version === old || (isLoaded && version.state === 'READY');
    const before = known.previous.find((entry) => isOf(entry, version));
    const readyIds = readyIdsOf(version, known);
    const isCalled = version === old || isServing;
    // The one that takes the place of one that serves is loaded before it does.
    const isDemandOnly = model.policy.minCopies === 0 && (old === undefined || !isServing);
    wanted.push({
      version,
      model,
      isServing: version === old || (isServing && isPlaced && old === undefined),
      demand: isPlaced
        ? demandOf(
            model,
            version,
            before?.nodes ?? readyIds,
            copiesOf(model, isCalled, known),
            isDemandOnly,
          )
        : undefined,
      reason: isPlaced ? '' : version.state === 'READY' ? UNLOADED : reasonOf(version),
      before,
      readyIds,
      isOnDemand: isPlaced && isDemandOnly,
      trafficRank: isCalled ? (known.size?.trafficRank ?? 0) : 0,
    });
  }
  return wanted;
}

/** Never '': that would say that it is wanted. */
function reasonOf({ state, reason }: VersionDoc): string {
  return reason === '' ? state : reason;
}

/** The version that goes on serving since the promoted one has no ready copy yet. */
function servingBefore(
  model: ModelDoc,
  versions: readonly VersionDoc[],
  known: Known,
): VersionDoc | undefined {
  // Where nothing is ready, nothing serves.
  if (known.ready.length === 0) return undefined;
  const isReady = (version: VersionDoc): boolean =>
    known.ready.some(({ copy }) => isOf(copy, version));
  const serving = versions.find(({ version }) => version === model.servingVersion);
  if (serving === undefined || !model.loadedVersions.includes(serving.version)) return undefined;
  if (isReady(serving)) return undefined;
  const others = versions.filter((version) => version !== serving && isReady(version));
  if (!known.isNew) {
    return others.find((version) =>
      known.previous.some((entry) => entry.weight > 0 && isOf(entry, version)),
    );
  }
  // Which one served is not known: the newest before the promoted one, most likely.
  return others.sort((a, b) => b.version - a.version)[0];
}

/**
 * Within the policy's bounds what the load asks for; a version that is there only to be called by
 * its number has the least.
 */
function copiesOf({ policy }: ModelDoc, isCalled: boolean, { size }: Known): number {
  const least = Math.max(1, policy.minCopies);
  if (!isCalled || size === undefined) return least;
  return Math.max(least, Math.min(policy.maxCopies, size.copies));
}

function costOf({ sizeBytes }: VersionDoc): number {
  return Math.max(1, Math.ceil(sizeBytes * COST_FACTOR));
}

/** Up to an eighth more: entries that differ in little take less room where all are kept. */
function coarse(bytes: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / step) * step;
}

function demandOf(
  model: ModelDoc,
  version: VersionDoc,
  holders: readonly string[],
  copies: number,
  isOnDemand: boolean,
): Demand {
  return {
    key: `${model.name}/${version.version}`,
    model: model.name,
    costBytes: costOf(version),
    isOnDemand,
    copies,
    spreadsZones: model.policy.spreadsZones,
    holders,
  };
}

/** The targets, then those that still serve in place of targets that are not ready. */
function withLeaving(
  targets: readonly string[],
  before: AssignmentEntry | undefined,
  readyIds: readonly string[],
): readonly string[] {
  if (before === undefined || readyIds.length === 0 || targets.length === 0) return targets;
  const missing = targets.filter((id) => !readyIds.includes(id)).length;
  if (missing === 0) return targets;
  const leaving = before.nodes.filter((id) => readyIds.includes(id) && !targets.includes(id));
  return [...targets, ...leaving.slice(0, missing)];
}

/** Share of the assigned copies that are on nodes that are no longer alive, 0 to 1. */
export function lostShare(
  previous: readonly AssignmentEntry[],
  nodes: readonly Pick<NodeRecord, 'id'>[],
): number {
  const live = new Set(nodes.map(({ id }) => id));
  let [assigned, lost] = [0, 0];
  for (const entry of previous) {
    assigned += entry.nodes.length;
    for (const id of entry.nodes) if (!live.has(id)) lost += 1;
  }
  return assigned === 0 ? 0 : lost / assigned;
}
