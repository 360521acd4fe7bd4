// What is checked of nodes: that READY is loaded, that a serving copy goes only when another one is
// there, that a call which may not be repeated runs once, and that nothing older is kept after
// something newer.
import type { CopyRecord, ShardRevision } from '../../registry/registry.ts';
import type { Wanted } from '../../server/versions.ts';
import type { Engine } from './engine.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { World } from './world.ts';

/**
 * What one node knows of another's copy may be so old: its TTL, the time that an unwanted copy
 * stays, and the ways.
 */
const KNOWLEDGE_MS = 8_000;

export class NodeChecks {
  readonly #world: World;
  readonly #runs = new Map<number, number>();
  /** By model, then node: when a copy of it was last known to be loaded there. */
  readonly #loaded = new Map<string, Map<string, number>>();
  /** By node and model: since when it has been loaded, if it is. */
  readonly #since = new Map<string, number>();
  readonly #wanted = new Map<string, readonly Wanted[]>();

  constructor(world: World) {
    this.#world = world;
  }

  /** How often the call with that number has run. */
  runsOf(number: number): number {
    return this.#runs.get(number) ?? 0;
  }

  tells(node: SimulatedNode, records: readonly CopyRecord[]): void {
    for (const record of records) {
      if (record.state !== 'READY' || hasLoaded(node, record)) continue;
      this.#breach('ready_is_loaded', `${node.id} tells ${shown(record)} READY without having it`);
    }
  }

  /** Whether some node has had a version of the model loaded since that moment. */
  isHeldSince(model: string, sinceMs: number): boolean {
    for (const [id, lastMs] of this.#holders(model)) {
      if (lastMs !== Number.POSITIVE_INFINITY) continue;
      if ((this.#since.get(`${id} ${model}`) ?? Number.POSITIVE_INFINITY) <= sinceMs) return true;
    }
    return false;
  }

  wants(node: SimulatedNode, wanted: readonly Wanted[]): void {
    this.#wanted.set(node.id, wanted);
  }

  loads(node: SimulatedNode, engine: Engine): void {
    this.#world.trace.note(node.id, 'loaded', shown(engine));
    const holders = this.#holders(engine.model);
    if (holders.get(node.id) === Number.POSITIVE_INFINITY) return;
    holders.set(node.id, Number.POSITIVE_INFINITY);
    this.#since.set(`${node.id} ${engine.model}`, this.#world.nowMs());
  }

  unloads(node: SimulatedNode, engine: Engine): void {
    const world = this.#world;
    world.trace.note(node.id, 'unloads', shown(engine));
    const stillHas = [...node.engines].some(({ model }) => model === engine.model);
    if (stillHas) return;
    const holders = this.#holders(engine.model);
    holders.set(node.id, world.nowMs());
    if (node.isDraining) return;
    if (world.models.get(engine.model)?.serving === 0) return;
    const since = world.nowMs() - KNOWLEDGE_MS;
    const isElsewhere = [...holders].some(([id, lastMs]) => id !== node.id && lastMs >= since);
    if (!isElsewhere) {
      this.#breach('never_without_copy', `${node.id} unloads the last copy of ${engine.model}`);
    }
  }

  runs(node: SimulatedNode, engine: Engine, number: number): void {
    const count = this.runsOf(number) + 1;
    this.#runs.set(number, count);
    const isOnceOnly = this.#world.models.get(engine.model)?.isIdempotent === false;
    if (count > 1 && isOnceOnly) {
      this.#breach('run_once', `call ${number} of ${engine.model} runs again, on ${node.id}`);
    }
  }

  /** A shard that the node had is now another one. */
  takes(node: SimulatedNode, before: ShardRevision, now: ShardRevision): void {
    if (!isOlder(now, before)) return;
    const [was, is] = [`${before.epoch}/${before.revision}`, `${now.epoch}/${now.revision}`];
    this.#breach('newest_obeyed', `${node.id} goes back in shard ${now.index}: ${was} to ${is}`);
  }

  ended(node: SimulatedNode): void {
    const nowMs = this.#world.nowMs();
    for (const holders of this.#loaded.values()) {
      if (holders.get(node.id) === Number.POSITIVE_INFINITY) holders.set(node.id, nowMs);
    }
  }

  #holders(model: string): Map<string, number> {
    let holders = this.#loaded.get(model);
    if (holders === undefined) {
      holders = new Map();
      this.#loaded.set(model, holders);
    }
    return holders;
  }

  #breach(rule: Parameters<World['checks']['breach']>[0], text: string): void {
    this.#world.checks.breach(rule, text);
  }
}

export function isOlder(one: ShardRevision, other: ShardRevision): boolean {
  if (one.epoch !== other.epoch) return one.epoch < other.epoch;
  return one.revision < other.revision;
}

function hasLoaded(node: SimulatedNode, record: CopyRecord): boolean {
  for (const { model, version, manifestSha256 } of node.engines) {
    if (
      model === record.model &&
      version === record.version &&
      manifestSha256 === record.manifestSha256
    ) {
      return true;
    }
  }
  return false;
}

function shown({ model, version }: { readonly model: string; readonly version: number }): string {
  return `${model}/${version}`;
}
