// What calls for one model get, out of its part of the assignment and its copies. Pure. The answer
// is small and often the same for many models: errors, which name the model, are made when a call
// asks for them.
import { requestForUnknownModel } from '../common/names.ts';
import { notFound, type StatusError, unavailable } from '../common/status.ts';
import { type AssignmentEntry, UNLOADED } from '../registry/registry.ts';
import type { HeldCopy } from './packed-shard.ts';

/** Any of these nodes can answer. */
export interface Ready {
  readonly kind: 'ready';
  readonly version: number;
  /** Not empty. */
  readonly nodes: readonly string[];
  readonly isIdempotent: boolean;
  /** A call that takes long may be sent to a second one. */
  readonly isHedged: boolean;
  /** The model has other versions too: a call without a version must be told which it gets. */
  readonly isOneOfSeveral: boolean;
}

/** What follows a model's name in the error. */
interface Refusal {
  readonly kind: 'refusal';
  readonly isUnknown: boolean;
  readonly text: string;
}

type Answer = Ready | { readonly kind: 'waiting' } | Refusal;

interface Share {
  readonly weight: number;
  readonly answer: Ready;
}

/** A model for which there is more to say than Ready. */
export interface Mixed {
  readonly kind: 'mixed';
  readonly versions: readonly { readonly version: number; readonly answer: Answer }[];
  /** The versions that share the calls without a version: with a weight, and READY. */
  readonly shared: readonly Share[];
  readonly sharedWeight: number;
  /** What such calls get while there is none of those. */
  readonly otherwise: Answer;
}

/** Ready: the model's only version, whether or not a call names it. */
export type ModelRoute = Ready | Mixed;

export type Resolution =
  | Ready
  /** Known, and a copy may become READY. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'refused'; readonly error: StatusError };

export type IndexState = 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE';

/** A copy, with what its node is like. */
export interface PlacedCopy {
  readonly nodeId: string;
  readonly isDraining: boolean;
  readonly copy: HeldCopy;
}

/** One version of a model as it stands. */
export interface VersionState {
  readonly version: number;
  /** Undefined: assigned no more, but still READY somewhere. */
  readonly entry: AssignmentEntry | undefined;
  /** Ids of the nodes whose copy is READY; of draining ones only while there are no others. */
  readonly ready: readonly string[];
  /** Unloaded on purpose: what nodes still hold is on its way out, and gets no calls. */
  readonly isLeaving: boolean;
  /** For people: what it is, and why it is UNAVAILABLE ('' else). */
  readonly state: IndexState;
  readonly reason: string;
  readonly hasFailed: boolean;
}

interface Gathered {
  readonly version: number;
  readonly entry: AssignmentEntry | undefined;
  readonly ready: string[];
  readonly draining: string[];
  readonly failures: Map<string, string>;
  isUnloading: boolean;
}

const NOWHERE: readonly string[] = [];
export const WAITING = { kind: 'waiting' } as const;

/** @param entries of one model, not empty. @param copies of live nodes */
export function versionsOf(
  entries: readonly AssignmentEntry[],
  copies: readonly PlacedCopy[],
): readonly VersionState[] {
  const versions = new Map<number, Gathered>();
  for (const entry of entries) versions.set(entry.version, gathered(entry.version, entry));
  for (const one of copies) addCopy(versions, one);
  const all = [...versions.values()];
  const isUnloaded = all.some(({ entry }) => entry?.reason === UNLOADED);
  return all.map((one): VersionState => {
    const { version, entry } = one;
    // A slice has no room to grow, which of 100,000 routes is megabytes.
    const held = one.ready.length > 0 ? one.ready : one.draining;
    const ready = held.length > 0 ? held.slice() : homeOnDemand(one);
    const isLeaving = isUnloaded && (entry === undefined || entry.reason === UNLOADED);
    const hasFailed = hasFailedEverywhere(one);
    const shown = shownState(one, ready.length > 0, isLeaving, hasFailed);
    return { version, entry, ready, isLeaving, hasFailed, ...shown };
  });
}

function gathered(version: number, entry: AssignmentEntry | undefined): Gathered {
  return { version, entry, ready: [], draining: [], failures: new Map(), isUnloading: false };
}

/** A copy of other content than assigned is as if it were not there. */
function addCopy(versions: Map<number, Gathered>, { nodeId, isDraining, copy }: PlacedCopy): void {
  let one = versions.get(copy.version);
  const isReady = copy.state === 'READY';
  if (one === undefined) {
    if (!isReady) return;
    one = gathered(copy.version, undefined);
    versions.set(copy.version, one);
  }
  const { entry } = one;
  if (entry !== undefined && entry.manifestSha256 !== copy.manifestSha256) return;
  if (isReady) (isDraining ? one.draining : one.ready).push(nodeId);
  else if (copy.state === 'UNLOADING') one.isUnloading = true;
  else if (copy.state === 'FAILED' || copy.state === 'QUARANTINED') {
    one.failures.set(nodeId, copy.reason);
  }
}

/** Where a call has it loaded: on one node, so that one load answers all calls. */
function homeOnDemand({ entry, failures }: Gathered): readonly string[] {
  if (entry?.isOnDemand !== true) return NOWHERE;
  return entry.nodes.filter((id) => !failures.has(id)).slice(0, 1);
}

/** On every node that is to hold it, so that waiting is in vain until the plan changes. */
function hasFailedEverywhere({ entry, failures }: Gathered): boolean {
  const nodes = entry?.nodes ?? [];
  return nodes.length > 0 && nodes.every((id) => failures.has(id));
}

function shownState(
  { entry, failures, isUnloading }: Gathered,
  isHeld: boolean,
  isLeaving: boolean,
  hasFailed: boolean,
): { state: IndexState; reason: string } {
  if (isHeld) return { state: isLeaving ? 'UNLOADING' : 'READY', reason: '' };
  if (hasFailed) {
    const [reason = ''] = failures.values();
    return { state: 'UNAVAILABLE', reason };
  }
  if (isUnloading) return { state: 'UNLOADING', reason: '' };
  const away = entry?.reason ?? '';
  return away === '' ? { state: 'LOADING', reason: '' } : { state: 'UNAVAILABLE', reason: away };
}

export function routeOf(all: readonly VersionState[]): ModelRoute {
  const isIdempotent = all.every(({ entry }) => entry?.isIdempotent ?? true);
  const isHedged = isIdempotent && isHedgedBy(all);
  const isOneOfSeveral = all.length > 1;
  const answers = new Map<VersionState, Answer>();
  const shared: Share[] = [];
  for (const one of all) {
    const { version, ready: nodes } = one;
    const isReady = nodes.length > 0 && !one.isLeaving;
    const answer: Answer = isReady
      ? { kind: 'ready', version, nodes, isIdempotent, isHedged, isOneOfSeveral }
      : unready(one);
    answers.set(one, answer);
    if (answer.kind === 'ready' && weightOf(one) > 0) {
      shared.push({ weight: weightOf(one), answer });
    }
  }
  const [only] = shared;
  if (only !== undefined && all.length === 1) return only.answer;
  const stopgap = stopgapOf(all);
  const otherwise = (stopgap && answers.get(stopgap)) ?? noneAvailable(all);
  const sharedWeight = shared.reduce((sum, { weight }) => sum + weight, 0);
  const versions = [...answers].map(([{ version }, answer]) => ({ version, answer }));
  return { kind: 'mixed', versions, shared, sharedWeight, otherwise };
}

/** A release before said nothing of it. */
function isHedgedBy(all: readonly VersionState[]): boolean {
  const entries = all.flatMap(({ entry }) => entry ?? []);
  return entries.length > 0 && entries.every(({ isHedged }) => isHedged === true);
}

/** While no version with a weight is READY, one that is being replaced still serves where it is. */
function stopgapOf(all: readonly VersionState[]): VersionState | undefined {
  const replaced = all.filter((one) => one.entry === undefined && !one.isLeaving);
  const weighted = all.filter((one) => weightOf(one) > 0);
  return (
    replaced.sort((a, b) => b.version - a.version)[0] ??
    weighted.find((one) => !one.hasFailed) ??
    weighted[0]
  );
}

function weightOf({ entry }: VersionState): number {
  return entry?.weight ?? 0;
}

/** What keeps a version from being served is told, unless nobody wants it served. */
function noneAvailable(all: readonly VersionState[]): Refusal {
  const told = all.flatMap(({ version, entry }) => {
    const reason = entry?.reason ?? '';
    return reason === '' || reason === UNLOADED ? [] : [`version ${version}: ${reason}`];
  });
  const why = told.length === 0 ? '' : ` (${told.join('; ')})`;
  return { kind: 'refusal', isUnknown: true, text: ` has no available versions${why}` };
}

function unready(one: VersionState): Answer {
  const refusal = (why: string): Refusal => {
    const text = ` version ${one.version} is not at ready state (${why})`;
    return { kind: 'refusal', isUnknown: false, text };
  };
  const away = one.entry?.reason ?? (one.isLeaving ? UNLOADED : '');
  if (away !== '') return refusal(away);
  return one.hasFailed ? refusal(`FAILED: ${one.reason}`) : WAITING;
}

/**
 * @param version undefined: the model's weights choose, among the versions that are READY
 * @param random in [0, 1)
 */
export function resolveIn(
  route: Mixed,
  model: string,
  version: number | undefined,
  random: () => number,
): Resolution {
  const answer =
    version === undefined
      ? (pickByWeight(route, random) ?? route.otherwise)
      : route.versions.find((one) => one.version === version)?.answer;
  if (answer === undefined) return unknownVersion(model, version);
  return answer.kind === 'refusal' ? refused(model, answer) : answer;
}

function pickByWeight({ shared, sharedWeight }: Mixed, random: () => number): Ready | undefined {
  if (shared.length < 2) return shared[0]?.answer;
  let left = random() * sharedWeight;
  for (const { weight, answer } of shared) {
    left -= weight;
    if (left < 0) return answer;
  }
  return shared.at(-1)?.answer;
}

function refused(model: string, { isUnknown, text }: Refusal): Resolution {
  const message = `${requestForUnknownModel(model)}${text}`;
  return { kind: 'refused', error: isUnknown ? notFound(message) : unavailable(message) };
}

export function unknownVersion(model: string, version: number | undefined): Resolution {
  return refused(model, {
    kind: 'refusal',
    isUnknown: true,
    text: `${version === undefined ? '' : ` version ${version}`} is not found`,
  });
}
