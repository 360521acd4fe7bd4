// What the assignment wants of one node: the newest shards, whoever brings them in whatever order.
// Pure; knows nothing of registries.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isName, isSha256 } from '../common/names.ts';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentEntry,
  type AssignmentShard,
  type CopyRecord,
  MAX_TRAFFIC_RANK,
  REGISTRY_SCHEMA,
  type ShardRevision,
  type ShardStep,
  UNLOADED,
} from '../registry/registry.ts';
import type { Copy, Wanted } from './versions.ts';

const entrySchema = z.object({
  model: z.string().refine(isName),
  version: z.number().int().min(1),
  manifestSha256: z.string().refine(isSha256),
  nodes: z.array(z.string()),
  weight: z.number().min(0).max(1),
  reason: z.string().default(''),
  isIdempotent: z.boolean(),
  isHedged: z.boolean().optional(),
  isOnDemand: z.boolean().exactOptional(),
  costBytes: z.number().min(0).exactOptional(),
  trafficRank: z.number().int().min(0).max(MAX_TRAFFIC_RANK).exactOptional(),
  deaths: z.number().int().min(0).exactOptional(),
});

const shardSchema = z.object({
  schema: z.number().int().min(1),
  index: z
    .number()
    .int()
    .min(0)
    .max(ASSIGNMENT_SHARDS - 1),
  epoch: z.number().int().min(0),
  revision: z.number().int().min(0),
  entries: z.array(entrySchema),
});

const storedSchema = z.object({
  shards: z.array(shardSchema).max(ASSIGNMENT_SHARDS),
  /** Of the shards as they stand in the text; the release before this wrote none. */
  sha256: z.string().optional(),
});

/**
 * How a shard was taken. Newer schemas come from a newer leader: this node waits to be replaced.
 */
export type Taken = 'accepted' | 'stale' | 'too_new';

export class Assignment {
  readonly #nodeId: string;
  readonly #shards = new Map<number, AssignmentShard>();
  /** Of those, the ones with entries of this node, and only these entries. */
  readonly #own = new Map<number, AssignmentShard>();
  /** Shards from the disk: they lack the entries of other nodes, so the same revision is news. */
  readonly #restored = new Set<number>();

  constructor(nodeId: string) {
    this.#nodeId = nodeId;
  }

  take(shard: AssignmentShard): Taken {
    if (shard.schema > REGISTRY_SCHEMA) return 'too_new';
    if (!this.isNews(shard)) return 'stale';
    this.#set(shard);
    this.#restored.delete(shard.index);
    return 'accepted';
  }

  /**
   * Whether it comes after what is known of that shard: a later epoch, or a later revision of it.
   */
  isNews({ index, epoch, revision }: ShardRevision): boolean {
    const known = this.#shards.get(index);
    if (known === undefined || epoch > known.epoch) return true;
    if (epoch < known.epoch) return false;
    return revision > known.revision || (revision === known.revision && this.#restored.has(index));
  }

  /**
   * Takes over a revision that leaves this node's entries as they are; false: it has to be read,
   * since this node has not what it is a step from, its entries are among those that change, or a
   * copy that it holds waits for its new home, wherever that is by now. What the shard says of
   * other nodes may be older from then on.
   */
  passOver({ from, to, nodeIds }: ShardStep, held: readonly Copy[]): boolean {
    const known = this.#shards.get(from.index);
    const isFrom = known?.epoch === from.epoch && known.revision === from.revision;
    if (!isFrom || nodeIds.includes(this.#nodeId) || this.#restored.has(from.index)) return false;
    const models = new Set(held.map(({ model }) => model));
    if (!this.isNews(to) || this.#leavesSome(known.entries, held, models)) return false;
    this.#set({ ...known, ...to });
    return true;
  }

  /**
   * What this node is to hold. `held` copies that moved to other nodes, none of which has its own
   * READY yet, are wanted in so far as they stay (isKeptOnly).
   */
  wanted(
    held: readonly Copy[],
    copies: ReadonlyMap<string, readonly CopyRecord[]>,
  ): readonly Wanted[] {
    const wanted: Wanted[] = [];
    for (const { entries } of this.#shards.values()) {
      for (const entry of entries) {
        const { model, version, manifestSha256, weight, nodes } = entry;
        const isHome = nodes.includes(this.#nodeId);
        if (!isHome && !this.#isAwaited(entry, held, copies)) continue;
        const { deaths = 0, trafficRank = 0, isOnDemand, costBytes } = entry;
        const copy = { model, version, manifestSha256 };
        wanted.push({
          ...{ ...copy, weight, isKeptOnly: !isHome, deaths, trafficRank },
          ...(isOnDemand === true && { isOnDemand }),
          ...(costBytes !== undefined && { costBytes }),
        });
      }
    }
    return wanted;
  }

  /** What no node is to load, since it can't be served (quarantine). */
  givenUp(): readonly Copy[] {
    const all = [...this.#shards.values()].flatMap(({ entries }) => entries);
    return all.filter(({ nodes, reason }) => {
      return nodes.length === 0 && reason !== '' && reason !== UNLOADED;
    });
  }

  /** Entries that went to other nodes while this one still holds a copy. */
  leaving(held: readonly Copy[]): boolean {
    const models = new Set(held.map(({ model }) => model));
    for (const { entries } of this.#shards.values()) {
      if (this.#leavesSome(entries, held, models)) return true;
    }
    return false;
  }

  /** @param models of `held`: entries are many, those of models that it holds few */
  #leavesSome(
    entries: readonly AssignmentEntry[],
    held: readonly Copy[],
    models: ReadonlySet<string>,
  ): boolean {
    return entries.some(
      (entry) =>
        models.has(entry.model) &&
        !entry.nodes.includes(this.#nodeId) &&
        held.some((copy) => isOf(copy, entry)),
    );
  }

  /** To be kept on disk: what a restart without the registry begins from. */
  encode(): string {
    const text = JSON.stringify([...this.#own.values()]);
    return `{"shards":${text},"sha256":"${sha256Of(text)}"}`;
  }

  /**
   * Takes what `encode` gave; false for anything else: an epoch with one bit more would be obeyed
   * for ever. Otherwise the registry's word comes after it.
   */
  restore(text: string): boolean {
    try {
      const stored: unknown = JSON.parse(text);
      const { shards, sha256 } = storedSchema.parse(stored);
      const { shards: raw } = stored as { readonly shards: unknown };
      if (sha256 !== undefined && sha256 !== sha256Of(JSON.stringify(raw))) return false;
      for (const shard of shards) {
        if (shard.schema > REGISTRY_SCHEMA) continue;
        this.#set(shard);
        this.#restored.add(shard.index);
      }
      return true;
    } catch {
      return false;
    }
  }

  #set(shard: AssignmentShard): void {
    this.#shards.set(shard.index, shard);
    const entries = shard.entries.filter(({ nodes }) => nodes.includes(this.#nodeId));
    if (entries.length > 0) this.#own.set(shard.index, { ...shard, entries });
    else this.#own.delete(shard.index);
  }

  #isAwaited(
    entry: AssignmentEntry,
    held: readonly Copy[],
    copies: ReadonlyMap<string, readonly CopyRecord[]>,
  ): boolean {
    // Its new home loads it with the next call, and not before.
    if (entry.isOnDemand === true) return false;
    if (entry.nodes.length === 0 || !held.some((copy) => isOf(copy, entry))) return false;
    return !entry.nodes.some((node) =>
      copies.get(node)?.some((copy) => copy.state === 'READY' && isOf(copy, entry)),
    );
  }
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function isOf(copy: Copy, entry: AssignmentEntry): boolean {
  return (
    copy.model === entry.model &&
    copy.version === entry.version &&
    copy.manifestSha256 === entry.manifestSha256
  );
}
