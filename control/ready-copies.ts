// Which nodes have which versions ready, by model. Told the whole each time, it finds what changed
// by itself: of 100,000 copies few change between two plans, and only their models are looked at.
import type { CopyRecord } from '../registry/registry.ts';

/** A copy that serves, on a node that stays. */
export interface ReadyCopy {
  readonly copy: CopyRecord;
  readonly nodeId: string;
}

/** Records in a row that may come or go before the models after them are looked at for nothing. */
const MAX_LOOK_AHEAD = 8;
const NONE: readonly never[] = [];

export class ReadyCopies {
  readonly #byNode = new Map<string, readonly CopyRecord[]>();
  /** Ordered by node. */
  readonly #byModel = new Map<string, readonly ReadyCopy[]>();

  of(model: string): readonly ReadyCopy[] {
    return this.#byModel.get(model) ?? NONE;
  }

  /** Replaces what is known, for the nodes that stay. Returns the models that it changes. */
  update(
    copies: ReadonlyMap<string, readonly CopyRecord[]>,
    staying: ReadonlySet<string>,
  ): ReadonlySet<string> {
    const changed = new Set<string>();
    for (const [nodeId, before] of this.#byNode) {
      if (staying.has(nodeId) && copies.has(nodeId)) continue;
      this.#byNode.delete(nodeId);
      this.#replace(nodeId, before, NONE, changed);
    }
    for (const [nodeId, now] of copies) {
      if (!staying.has(nodeId)) continue;
      const before = this.#byNode.get(nodeId) ?? NONE;
      if (isSameList(before, now)) continue;
      this.#byNode.set(nodeId, now);
      this.#replace(nodeId, before, now, changed);
    }
    return changed;
  }

  #replace(
    nodeId: string,
    before: readonly CopyRecord[],
    now: readonly CopyRecord[],
    changed: Set<string>,
  ): void {
    const touched = differing(before, now);
    const ofModel = new Map<string, ReadyCopy[]>();
    for (const model of touched) ofModel.set(model, []);
    for (const copy of now) {
      if (copy.state === 'READY') ofModel.get(copy.model)?.push({ copy, nodeId });
    }
    for (const [model, list] of ofModel) {
      const known = this.of(model);
      const own = known.filter((one) => one.nodeId === nodeId);
      if (own.length === list.length && list.every((one, at) => isSame(one.copy, own[at]?.copy))) {
        continue;
      }
      changed.add(model);
      const others = known.filter((one) => one.nodeId !== nodeId);
      const all = [...others, ...list].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
      if (all.length === 0) this.#byModel.delete(model);
      else this.#byModel.set(model, all);
    }
  }
}

function isSameList(before: readonly CopyRecord[], now: readonly CopyRecord[]): boolean {
  if (before === now) return true;
  return before.length === now.length && now.every((copy, at) => isSame(copy, before[at]));
}

/**
 * Models of the records that one list has and the other lacks, and perhaps of some more. Both are
 * in the order in which the node came by them: what was left out or put in is passed over.
 */
function differing(before: readonly CopyRecord[], now: readonly CopyRecord[]): ReadonlySet<string> {
  const models = new Set<string>();
  let [at, next] = [0, 0];
  for (;;) {
    const [old, copy] = [before[at], now[next]];
    if (old === undefined && copy === undefined) return models;
    if (copy !== undefined && isSame(copy, old)) {
      at += 1;
      next += 1;
      continue;
    }
    const putIn = old === undefined ? 0 : distanceTo(old, now, next);
    const leftOut = copy === undefined ? 0 : distanceTo(copy, before, at);
    if (old !== undefined && putIn === 0) {
      for (const { model } of before.slice(at, at + Math.max(1, leftOut))) models.add(model);
      at += Math.max(1, leftOut);
    }
    if (copy !== undefined && (leftOut === 0 || putIn > 0)) {
      for (const { model } of now.slice(next, next + Math.max(1, putIn))) models.add(model);
      next += Math.max(1, putIn);
    }
  }
}

/** How far behind a place a record is found; 0: not within MAX_LOOK_AHEAD. */
function distanceTo(record: CopyRecord, list: readonly CopyRecord[], from: number): number {
  for (let step = 1; step <= MAX_LOOK_AHEAD; step += 1) {
    const there = list[from + step];
    if (there === undefined) return 0;
    if (isSame(there, record)) return step;
  }
  return 0;
}

function isSame(copy: CopyRecord, other: CopyRecord | undefined): boolean {
  if (copy === other) return true;
  return (
    copy.model === other?.model &&
    copy.version === other.version &&
    copy.state === other.state &&
    copy.manifestSha256 === other.manifestSha256
  );
}
