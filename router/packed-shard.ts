// One shard of the assignment and the copies of its models, in few bytes a model: numbers in typed
// arrays, hashes as bytes, one object for the entries that differ only in model, content and nodes.
// What a router needs of it comes out as it was. Cheap is what is done while calls run: to find a
// model, to replace what some nodes hold. Node ids are numbers of a NodeNumbers.
import { isSha256 } from '../common/names.ts';
import type {
  AssignmentEntry,
  AssignmentShard,
  CopyRecord,
  CopyState,
  ShardRevision,
} from '../registry/registry.ts';
import type { NodeNumbers } from './node-numbers.ts';

/** What a router knows of a copy. */
export type HeldCopy = Omit<CopyRecord, 'memoryBytes'>;

/** A copy and the number of its node. */
export interface NumberedCopy {
  readonly node: number;
  readonly copy: HeldCopy;
}

/** What a router needs of an entry: the rest is for nodes, and differs from model to model. */
type RoutedEntry = Omit<AssignmentEntry, 'costBytes' | 'trafficRank'>;

/** What many entries have in common; `manifestSha256` only where it is no SHA-256. */
type Traits = Omit<RoutedEntry, 'model' | 'nodes' | 'manifestSha256'> & {
  readonly manifestSha256?: string;
};

/** States of copies that are as assigned and have no reason; their number is kept. */
const STATES: readonly CopyState[] = ['READY', 'LOADING', 'UNLOADING'];
const SHA256_BYTES = 32;
const NONE: readonly never[] = [];

export class PackedShard {
  readonly schema: number;
  readonly revision: ShardRevision;
  /** Of the models that have entries, ordered. */
  readonly names: readonly string[];
  readonly #numbers: NodeNumbers;
  readonly #traits: readonly Traits[];
  /** By model: its first entry; one more for the end. */
  readonly #firstEntries: Uint16Array;
  /** By entry. */
  readonly #traitsOf: Uint16Array;
  readonly #manifests: Uint8Array;
  /** By entry: its first node; one more for the end. */
  readonly #firstNodes: Uint32Array;
  readonly #nodes: Uint16Array;
  /** By copy: entry * 2^16 + node, ordered; and the state. */
  #holders = new Uint32Array(0);
  #states = new Uint8Array(0);
  /** Copies of another kind: not as assigned, or with a reason. */
  #odd: readonly NumberedCopy[] = NONE;

  /** @param known names that are strings already: the same text is not kept twice */
  constructor(shard: AssignmentShard, numbers: NodeNumbers, known: readonly string[] = NONE) {
    const { index, epoch, revision, schema } = shard;
    this.schema = schema;
    this.revision = { index, epoch, revision };
    this.#numbers = numbers;
    const entries = oncePerVersion(shard.entries);
    const names = new Names(known);
    const traits = new Map<string, { readonly at: number; readonly value: Traits }>();
    const nodes: number[] = [];
    const firstEntries: number[] = [];
    this.#traitsOf = new Uint16Array(entries.length);
    this.#manifests = new Uint8Array(entries.length * SHA256_BYTES);
    this.#firstNodes = new Uint32Array(entries.length + 1);
    for (const [at, entry] of entries.entries()) {
      if (names.add(entry.model)) firstEntries.push(at);
      const value = traitsOf(entry);
      const key = JSON.stringify(value);
      const same = traits.get(key) ?? { at: traits.size, value };
      traits.set(key, same);
      this.#traitsOf[at] = same.at;
      if (value.manifestSha256 === undefined) {
        this.#manifests.set(Buffer.from(entry.manifestSha256, 'hex'), at * SHA256_BYTES);
      }
      for (const id of entry.nodes) nodes.push(numbers.of(id));
      this.#firstNodes[at + 1] = nodes.length;
    }
    // A slice has no room to grow.
    this.names = names.all.slice();
    this.#traits = [...traits.values()].map(({ value }) => value);
    this.#firstEntries = Uint16Array.from([...firstEntries, entries.length]);
    this.#nodes = Uint16Array.from(nodes);
  }

  /** As it was given but for what is for nodes, entries ordered by model and version. */
  unpacked(): AssignmentShard {
    const entries = this.names.flatMap((_, at) => this.entriesOf(at));
    return { schema: this.schema, ...this.revision, entries };
  }

  /** Where a model is among the names; -1: it has no entry. */
  indexOf(model: string): number {
    let [low, high] = [0, this.names.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.names[middle] ?? '') < model) low = middle + 1;
      else high = middle;
    }
    return this.names[low] === model ? low : -1;
  }

  /** Ordered by version. @param at of a name */
  entriesOf(at: number): AssignmentEntry[] {
    const entries: AssignmentEntry[] = [];
    const end = this.#firstEntries[at + 1] ?? 0;
    for (let entry = this.#firstEntries[at] ?? 0; entry < end; entry += 1) {
      entries.push(this.#entry(at, entry));
    }
    return entries;
  }

  /** Ordered by version, then by the number of the node; those not as assigned last. */
  copiesOf(at: number): NumberedCopy[] {
    const copies: NumberedCopy[] = [];
    const end = (this.#firstEntries[at + 1] ?? 0) * 2 ** 16;
    const first = (this.#firstEntries[at] ?? 0) * 2 ** 16;
    for (let copy = this.#firstFrom(first); copy < this.#holders.length; copy += 1) {
      const holder = this.#holders[copy] ?? 0;
      if (holder >= end) break;
      copies.push(this.#copy(holder, this.#states[copy] ?? 0, at));
    }
    const model = this.names[at];
    for (const one of this.#odd) if (one.copy.model === model) copies.push(one);
    return copies;
  }

  /** All copies, in no order. */
  *copies(isWanted: (node: number) => boolean = () => true): Iterable<NumberedCopy> {
    for (const [at, holder] of this.#holders.entries()) {
      if (isWanted(holder & 0xffff)) yield this.#copy(holder, this.#states[at] ?? 0);
    }
    for (const one of this.#odd) if (isWanted(one.node)) yield one;
  }

  /**
   * Replaces what some nodes hold of this shard's models. Returns where in the names the models are
   * of which that is another now.
   */
  replaceCopies(nodes: ReadonlySet<number>, copies: readonly NumberedCopy[]): ReadonlySet<number> {
    const touched = new Set<number>();
    if (copies.length === 0 && !this.#isNamed(nodes)) return touched;
    const touch = ({ copy }: NumberedCopy): void => {
      const at = this.indexOf(copy.model);
      if (at >= 0) touched.add(at);
    };
    const [stay, gone] = this.#parted(nodes);
    const come = new Set<number>();
    const odd: NumberedCopy[] = [];
    for (const one of copies) {
      const key = this.#keyOf(one);
      if (key === undefined) odd.push(one);
      else come.add(key);
    }
    for (const one of this.#odd) {
      if (!nodes.has(one.node)) odd.push(one);
      else touch(one);
    }
    for (const one of odd) if (nodes.has(one.node)) touch(one);
    for (const key of come) if (!gone.delete(key)) touched.add(this.#modelAt(entryIn(key)));
    for (const key of gone) touched.add(this.#modelAt(entryIn(key)));
    if (touched.size > 0) this.#keep([...stay, ...come]);
    this.#odd = odd.length === 0 ? NONE : odd;
    return touched;
  }

  /** Tells of each node that is named here, as often as it is. */
  namedNodes(tell: (node: number) => void): void {
    for (const node of this.#nodes) tell(node);
    for (const holder of this.#holders) tell(holder & 0xffff);
    for (const { node } of this.#odd) tell(node);
  }

  #isNamed(nodes: ReadonlySet<number>): boolean {
    for (const holder of this.#holders) if (nodes.has(holder & 0xffff)) return true;
    return this.#odd.some(({ node }) => nodes.has(node));
  }

  /** The keys of the copies on other nodes, and of those on these. */
  #parted(nodes: ReadonlySet<number>): readonly [number[], Set<number>] {
    const stay: number[] = [];
    const gone = new Set<number>();
    for (const [at, holder] of this.#holders.entries()) {
      const key = holder * STATES.length + (this.#states[at] ?? 0);
      if (nodes.has(holder & 0xffff)) gone.add(key);
      else stay.push(key);
    }
    return [stay, gone];
  }

  #keep(keys: readonly number[]): void {
    const sorted = Float64Array.from(keys).sort();
    this.#holders = Uint32Array.from(sorted, (key) => Math.floor(key / STATES.length));
    this.#states = Uint8Array.from(sorted, (key) => key % STATES.length);
  }

  /** Undefined: it must be kept as it is. */
  #keyOf({ node, copy }: NumberedCopy): number | undefined {
    const state = STATES.indexOf(copy.state);
    const at = this.indexOf(copy.model);
    if (state < 0 || copy.reason !== '' || at < 0) return undefined;
    const end = this.#firstEntries[at + 1] ?? 0;
    for (let entry = this.#firstEntries[at] ?? 0; entry < end; entry += 1) {
      if (this.#traits[this.#traitsOf[entry] ?? 0]?.version !== copy.version) continue;
      if (this.#manifestOf(entry) !== copy.manifestSha256) return undefined;
      return (entry * 2 ** 16 + node) * STATES.length + state;
    }
    return undefined;
  }

  #copy(holder: number, state: number, model?: number): NumberedCopy {
    const entry = Math.floor(holder / 2 ** 16);
    const copy: HeldCopy = {
      model: this.names[model ?? this.#modelAt(entry)] ?? '',
      version: this.#traits[this.#traitsOf[entry] ?? 0]?.version ?? 0,
      manifestSha256: this.#manifestOf(entry),
      state: STATES[state] ?? 'LOADING',
      reason: '',
    };
    return { node: holder & 0xffff, copy };
  }

  #entry(at: number, entry: number): AssignmentEntry {
    const nodes: string[] = [];
    const end = this.#firstNodes[entry + 1] ?? 0;
    for (let node = this.#firstNodes[entry] ?? 0; node < end; node += 1) {
      nodes.push(this.#numbers.id(this.#nodes[node] ?? 0));
    }
    const traits = this.#traits[this.#traitsOf[entry] ?? 0];
    if (traits === undefined) throw new Error('an entry without traits');
    const [model, manifestSha256] = [this.names[at] ?? '', this.#manifestOf(entry)];
    return { ...traits, model, manifestSha256, nodes };
  }

  #manifestOf(entry: number): string {
    const odd = this.#traits[this.#traitsOf[entry] ?? 0]?.manifestSha256;
    if (odd !== undefined) return odd;
    const { buffer, byteOffset } = this.#manifests;
    const start = byteOffset + entry * SHA256_BYTES;
    return Buffer.from(buffer, start, SHA256_BYTES).toString('hex');
  }

  /** The model that an entry is of. */
  #modelAt(entry: number): number {
    let [low, high] = [0, this.names.length];
    while (low + 1 < high) {
      const middle = (low + high) >>> 1;
      if ((this.#firstEntries[middle] ?? 0) <= entry) low = middle;
      else high = middle;
    }
    return low;
  }

  /** The first copy whose holder is not below. */
  #firstFrom(least: number): number {
    let [low, high] = [0, this.#holders.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#holders[middle] ?? 0) < least) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function entryIn(key: number): number {
  return Math.floor(key / STATES.length / 2 ** 16);
}

function traitsOf(entry: AssignmentEntry): Traits {
  const { model, nodes, manifestSha256, costBytes, trafficRank, ...rest } = entry;
  return isSha256(manifestSha256) ? rest : { ...rest, manifestSha256 };
}

/** Ordered by model and version; of a version that is there twice the last one. */
function oncePerVersion(entries: readonly AssignmentEntry[]): readonly AssignmentEntry[] {
  const sorted = [...entries].sort((a, b) =>
    a.model === b.model ? a.version - b.version : a.model < b.model ? -1 : 1,
  );
  return sorted.filter((entry, at) => {
    const next = sorted[at + 1];
    return next?.model !== entry.model || next.version !== entry.version;
  });
}

/** Names that come in order, each once; those known before as the strings that they were. */
class Names {
  readonly all: string[] = [];
  readonly #known: readonly string[];
  #at = 0;

  constructor(known: readonly string[]) {
    this.#known = known;
  }

  /** False: it is the last one again. */
  add(name: string): boolean {
    if (this.all.at(-1) === name) return false;
    while ((this.#known[this.#at] ?? name) < name) this.#at += 1;
    const known = this.#known[this.#at];
    this.all.push(known === name ? known : name);
    return true;
  }
}
