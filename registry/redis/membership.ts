// Which nodes live and what they hold, in Redis. Copies are most of it and change seldom, so they
// are fetched only when a node's digest of them is another than when they were last read: copies()
// remembers what it read; who uses copyStamps() and copiesOf() remembers for himself.
import { Code, StatusError } from '../../common/status.ts';
import { checkLoads, checkTtl } from '../limits.ts';
import type { CopyRecord, ModelLoad, NodeCopies, NodeRecord } from '../registry.ts';
import type { RedisConnection } from './connection.ts';
import type { Keys } from './keys.ts';
import {
  checkText,
  encodeCopies,
  encodeLoads,
  encodeNode,
  MAX_COPIES_BYTES,
  MAX_LOADS_BYTES,
  MAX_RECORD_BYTES,
  readCopies,
  readLoads,
  readNode,
} from './records.ts';
import { list, pairs, triples, word } from './replies.ts';

/** A cluster of more nodes is refused: what every router reads must stay bounded. */
export const MAX_NODES = 10_000;
/** One answer of Redis, beyond a first value however large. */
export const READ_BUDGET_BYTES = 4 * 1024 * 1024;
/** Asked for in one call. */
const COPIES_A_CALL = 500;
/** A digest, in base64. */
const MAX_STAMP_BYTES = 64;
/** Held of all nodes together. */
const MAX_HELD_COPIES_CHARACTERS = 512 * 1024 * 1024;

interface HeldRecord {
  readonly text: string;
  /** undefined: of a newer schema. */
  readonly node: NodeRecord | undefined;
}

interface HeldCopies {
  readonly stamp: string;
  readonly characters: number;
  /** undefined: of a newer schema. */
  readonly copies: readonly CopyRecord[] | undefined;
}

export interface MembershipOptions {
  readonly connection: RedisConnection;
  readonly keys: Keys;
  /** Told of each entry that a newer release wrote. */
  readonly refuse: (reason: string) => void;
}

export class RedisMembership {
  readonly #options: MembershipOptions;
  /** Both as last read, by node id: what is unchanged is not checked again. */
  #records = new Map<string, HeldRecord>();
  #held = new Map<string, HeldCopies>();

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  async putNode(node: NodeRecord, copies: readonly CopyRecord[], ttlMs: number): Promise<void> {
    checkTtl(ttlMs);
    checkText("a node's id", node.id);
    checkText("a node's incarnation", node.incarnation);
    const record = encodeNode(node);
    const { text, stamp } = encodeCopies(node.id, copies);
    const args = [node.id, node.incarnation, record, text, stamp, Math.ceil(ttlMs), MAX_NODES];
    const reply = await this.#run('put-node', args);
    if (word(reply, ['ok', 'full']) === 'ok') return;
    throw new StatusError(
      Code.RESOURCE_EXHAUSTED,
      `the registry holds ${MAX_NODES} nodes, which is the most: node '${node.id}' is one more`,
    );
  }

  async heartbeat(nodeId: string, incarnation: string, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    const reply = await this.#run('heartbeat', [nodeId, incarnation, Math.ceil(ttlMs)]);
    return word(reply, ['ok', 'unknown']) === 'ok';
  }

  async putCopies(
    nodeId: string,
    incarnation: string,
    copies: readonly CopyRecord[],
  ): Promise<boolean> {
    const { text, stamp } = encodeCopies(nodeId, copies);
    const reply = await this.#run('put-copies', [nodeId, incarnation, text, stamp]);
    return word(reply, ['ok', 'unknown']) === 'ok';
  }

  async removeNode(nodeId: string, incarnation: string): Promise<void> {
    word(await this.#run('remove-node', [nodeId, incarnation]), ['ok', 'unknown']);
  }

  async nodes(): Promise<readonly NodeRecord[]> {
    const reply = await this.#run('read-nodes', [MAX_NODES, MAX_RECORD_BYTES]);
    const records = new Map<string, HeldRecord>();
    for (const [id, text] of pairs(list(reply, this.#options.keys.membership))) {
      const known = this.#records.get(id);
      records.set(id, known?.text === text ? known : this.#readRecord(id, text));
    }
    this.#records = records;
    const nodes = [...records.values()].flatMap(({ node }) => (node === undefined ? [] : [node]));
    return nodes.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  async copies(): Promise<ReadonlyMap<string, readonly CopyRecord[]>> {
    const live = await this.copyStamps();
    const held = new Map<string, HeldCopies>();
    const changed: string[] = [];
    for (const [id, stamp] of live) {
      const known = this.#held.get(id);
      if (known?.stamp === stamp) held.set(id, known);
      else changed.push(id);
    }
    let characters = 0;
    for (const one of held.values()) characters += one.characters;
    for (let at = 0; at < changed.length; ) {
      const batch = await this.#fetch(changed.slice(at, at + COPIES_A_CALL));
      at += batch.length;
      for (const [id, one] of batch) {
        if (one === undefined) continue;
        characters += one.characters;
        if (characters > MAX_HELD_COPIES_CHARACTERS) throw tooManyCopies();
        held.set(id, one);
      }
    }
    this.#held = held;
    const known = [...held].flatMap(([id, { copies }]) =>
      copies === undefined ? [] : [[id, copies] as const],
    );
    return new Map(known);
  }

  async copyStamps(): Promise<ReadonlyMap<string, string>> {
    const reply = await this.#run('read-stamps', [MAX_NODES, MAX_STAMP_BYTES]);
    return new Map(pairs(list(reply, this.#options.keys.membership)));
  }

  async copiesOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, NodeCopies>> {
    const found = new Map<string, NodeCopies>();
    for (let at = 0; at < nodeIds.length; ) {
      const batch = await this.#fetch(nodeIds.slice(at, at + COPIES_A_CALL));
      at += batch.length;
      for (const [id, one] of batch) {
        if (one !== undefined) found.set(id, { stamp: one.stamp, copies: one.copies ?? [] });
      }
    }
    return found;
  }

  async putLoads(
    nodeId: string,
    incarnation: string,
    loads: readonly ModelLoad[],
  ): Promise<boolean> {
    checkLoads(loads);
    const reply = await this.#runLoads('put-loads', [
      nodeId,
      incarnation,
      encodeLoads(nodeId, loads),
    ]);
    return word(reply, ['ok', 'unknown']) === 'ok';
  }

  async loadsOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, readonly ModelLoad[]>> {
    const { keys, refuse } = this.#options;
    const found = new Map<string, readonly ModelLoad[]>();
    for (let at = 0; at < nodeIds.length; ) {
      const asked = nodeIds.slice(at, at + COPIES_A_CALL);
      const args = [MAX_LOADS_BYTES, READ_BUDGET_BYTES, ...asked];
      const batch = pairs(list(await this.#runLoads('read-loads', args), [keys.loads]));
      if (batch.length === 0) throw new StatusError(Code.INTERNAL, 'Redis answered without loads');
      at += batch.length;
      for (const [id, text] of batch) {
        if (text === '') continue;
        const read = readLoads(text, { key: keys.loads, field: id });
        if (read.kind === 'refused') refuse(read.reason);
        else found.set(id, read.value);
      }
    }
    return found;
  }

  #runLoads(script: Parameters<RedisConnection['run']>[0], args: readonly (string | number)[]) {
    const { connection, keys } = this.#options;
    return connection.run(script, [...keys.membership, keys.loads], [keys.channel, ...args]);
  }

  #readRecord(id: string, text: string): HeldRecord {
    const read = readNode(text, { key: this.#key(2), field: id });
    if (read.kind === 'value') return { text, node: read.value };
    this.#options.refuse(read.reason);
    return { text, node: undefined };
  }

  /** The first ones of `ids`, at least one; undefined for a node that is gone by now. */
  async #fetch(ids: readonly string[]): Promise<(readonly [string, HeldCopies | undefined])[]> {
    const reply = await this.#run('read-copies', [MAX_COPIES_BYTES, READ_BUDGET_BYTES, ...ids]);
    const found = triples(list(reply, [this.#key(3)]));
    if (found.length === 0) throw new StatusError(Code.INTERNAL, 'Redis answered without copies');
    return found.map(([id, text, stamp]) => {
      if (text === '') return [id, undefined];
      const read = readCopies(text, { key: this.#key(3), field: id });
      if (read.kind === 'refused') this.#options.refuse(read.reason);
      const copies = read.kind === 'value' ? read.value : undefined;
      return [id, { stamp, characters: text.length, copies }];
    });
  }

  #key(at: number): string {
    return this.#options.keys.membership[at] ?? '';
  }

  #run(script: Parameters<RedisConnection['run']>[0], args: readonly (string | number)[]) {
    const { connection, keys } = this.#options;
    return connection.run(script, keys.membership, [keys.channel, ...args]);
  }
}

function tooManyCopies(): StatusError {
  return new StatusError(
    Code.RESOURCE_EXHAUSTED,
    `the copies of all nodes take more than ${MAX_HELD_COPIES_CHARACTERS} characters`,
  );
}
