// The registry in Redis or Valkey (7.0 and later): one server, a master with Sentinel, or a
// cluster. All of it may be lost at any moment; every method ends in bounded time, with
// UNAVAILABLE when Redis can't be reached.
import type { Clock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import { checkCount, checkIndex, checkTtl, LEASE_FENCE_MS } from '../limits.ts';
import type {
  AssignmentShard,
  CopyRecord,
  Lease,
  ModelLoad,
  NodeCopies,
  NodeRecord,
  Registry,
  RegistryChange,
  ShardRevision,
  ShardStep,
} from '../registry.ts';
import type { RedisAddress } from './address.ts';
import { RedisConnection } from './connection.ts';
import { announcementHint, Hints } from './hints.ts';
import { ALL_SHARDS, inGroups, type Keys, keysOf } from './keys.ts';
import { READ_BUDGET_BYTES, RedisMembership } from './membership.ts';
import { checkText, encodeShard, MAX_NAME_BYTES, MAX_SHARD_BYTES, readShard } from './records.ts';
import { corrupt } from './redis-errors.ts';
import { list, pairs, word } from './replies.ts';
import { stepHint } from './step-hint.ts';

/** 'epoch revision', sixteen digits each. */
const MAX_REVISION_BYTES = 33;
/** Entries of newer releases that are told once each; more are told again. */
const MAX_TOLD = 1_000;

export interface RedisRegistryOptions {
  readonly address: RedisAddress;
  /** Of limits on waiting only: what lives and expires goes by the time of Redis. */
  readonly clock: Clock;
  readonly log: Log;
  /** Default CALL_TIMEOUT_MS. */
  readonly callTimeoutMs?: number;
}

export class RedisRegistry implements Registry {
  readonly #connection: RedisConnection;
  readonly #keys: Keys;
  readonly #hints: Hints;
  readonly #membership: RedisMembership;
  readonly #log: Log;
  readonly #told = new Set<string>();

  /** @throws INVALID_ARGUMENT for TLS files that can't be read; connects in the background */
  constructor({ address, clock, log, callTimeoutMs }: RedisRegistryOptions) {
    const connection = new RedisConnection(address, clock, callTimeoutMs);
    this.#log = log;
    this.#connection = connection;
    this.#keys = keysOf(address.prefix, address.kind === 'cluster' ? 0 : address.db);
    const { channel } = this.#keys;
    this.#hints = new Hints({ channel, clock, connect: () => connection.hintClient() });
    const refuse = (reason: string): void => this.#refuse(reason);
    this.#membership = new RedisMembership({ connection, keys: this.#keys, refuse });
  }

  putNode(node: NodeRecord, copies: readonly CopyRecord[], ttlMs: number): Promise<void> {
    return this.#membership.putNode(node, copies, ttlMs);
  }

  heartbeat(nodeId: string, incarnation: string, ttlMs: number): Promise<boolean> {
    return this.#membership.heartbeat(nodeId, incarnation, ttlMs);
  }

  putCopies(nodeId: string, incarnation: string, copies: readonly CopyRecord[]): Promise<boolean> {
    return this.#membership.putCopies(nodeId, incarnation, copies);
  }

  removeNode(nodeId: string, incarnation: string): Promise<void> {
    return this.#membership.removeNode(nodeId, incarnation);
  }

  nodes(): Promise<readonly NodeRecord[]> {
    return this.#membership.nodes();
  }

  copies(): Promise<ReadonlyMap<string, readonly CopyRecord[]>> {
    return this.#membership.copies();
  }

  copyStamps(): Promise<ReadonlyMap<string, string>> {
    return this.#membership.copyStamps();
  }

  copiesOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, NodeCopies>> {
    return this.#membership.copiesOf(nodeIds);
  }

  putLoads(nodeId: string, incarnation: string, loads: readonly ModelLoad[]): Promise<boolean> {
    return this.#membership.putLoads(nodeId, incarnation, loads);
  }

  loadsOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, readonly ModelLoad[]>> {
    return this.#membership.loadsOf(nodeIds);
  }

  async acquireLease(lease: Lease, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    checkText("a lease's name", lease.name);
    checkText("a lease's owner", lease.owner);
    checkCount("a lease's epoch", lease.epoch);
    const keys = this.#keys.lease(lease.name);
    const { name, owner, epoch } = lease;
    const args = [this.#keys.channel, name, owner, epoch, Math.ceil(ttlMs), LEASE_FENCE_MS];
    const reply = await this.#connection.run('acquire-lease', keys, args);
    const result = word(reply, ['ok', 'held', 'older', 'corrupt']);
    if (result === 'corrupt') throw corrupt(keys.slice(1), 'it is not an epoch');
    return result === 'ok';
  }

  async renewLease({ name, owner, epoch }: Lease, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    const keys = this.#keys.lease(name);
    const args = [owner, epoch, Math.ceil(ttlMs), LEASE_FENCE_MS];
    return word(await this.#connection.run('renew-lease', keys, args), ['ok', 'lost']) === 'ok';
  }

  async releaseLease({ name, owner, epoch }: Lease): Promise<void> {
    const args = [this.#keys.channel, name, owner, epoch];
    const reply = await this.#connection.run('release-lease', this.#keys.lease(name), args);
    word(reply, ['ok', 'lost']);
  }

  async lease(name: string): Promise<Lease | undefined> {
    const keys = this.#keys.lease(name);
    const reply = await this.#connection.run('read-lease', keys, [MAX_NAME_BYTES]);
    const [owner, epoch] = list(reply, keys);
    if (owner === undefined || epoch === undefined) return undefined;
    return { name, owner, epoch: wholeNumber(epoch, keys) };
  }

  async putShard(shard: AssignmentShard, step?: ShardStep): Promise<boolean> {
    checkIndex(shard.index);
    checkCount("a shard's epoch", shard.epoch);
    checkCount("a shard's revision", shard.revision);
    const keys = this.#shardKeys(shard.index);
    const { index, epoch, revision } = shard;
    const told = step === undefined ? '' : stepHint(step);
    const args = [this.#keys.channel, index, epoch, revision, encodeShard(shard), told];
    const reply = await this.#connection.run('put-shard', keys, args);
    const result = word(reply, ['ok', 'refused', 'corrupt']);
    if (result === 'corrupt') throw corrupt(keys.slice(0, 1), `'${index}' is no revision`);
    return result === 'ok';
  }

  async shardRevisions(): Promise<readonly ShardRevision[]> {
    const groups = [...inGroups(ALL_SHARDS)].map(async ([group, indices]) => {
      const keys = this.#keys.shards(group);
      const args = [MAX_REVISION_BYTES, ...indices];
      const found = pairs(list(await this.#connection.run('read-revisions', keys, args), keys));
      return found.map(([index, text]) => {
        const [epoch = '', revision = ''] = text.split(' ');
        return {
          index: wholeNumber(index, keys),
          epoch: wholeNumber(epoch, keys),
          revision: wholeNumber(revision, keys),
        };
      });
    });
    return (await Promise.all(groups)).flat().sort((a, b) => a.index - b.index);
  }

  async shards(indices: readonly number[]): Promise<readonly AssignmentShard[]> {
    for (const index of indices) checkIndex(index);
    const groups = [...inGroups([...new Set(indices)])];
    const found = groups.map(([group, members]) => this.#readGroup(group, members));
    return (await Promise.all(found)).flat().sort((a, b) => a.index - b.index);
  }

  async announce(topic: string): Promise<void> {
    checkText('a topic', topic);
    await this.#connection.publish(this.#keys.channel, announcementHint(topic));
  }

  watch(listener: (change: RegistryChange) => void): () => void {
    return this.#connection.isClosed ? () => {} : this.#hints.watch(listener);
  }

  async close(): Promise<void> {
    this.#connection.close();
    this.#hints.close();
  }

  #shardKeys(index: number): readonly string[] {
    const [group = 0] = inGroups([index]).keys();
    return this.#keys.shards(group);
  }

  async #readGroup(group: number, indices: readonly number[]): Promise<AssignmentShard[]> {
    const keys = this.#keys.shards(group);
    const shards: AssignmentShard[] = [];
    for (let at = 0; at < indices.length; ) {
      const args = [MAX_SHARD_BYTES, READ_BUDGET_BYTES, ...indices.slice(at)];
      const found = pairs(list(await this.#connection.run('read-shards', keys, args), keys));
      // A script answers with at least one; one that does not would be asked for ever.
      at += Math.max(1, found.length);
      for (const [index, text] of found) {
        if (text === '') continue;
        const shard = readShard(text, { key: keys[1] ?? '', field: index });
        if (shard.kind === 'value') shards.push(shard.value);
        else this.#refuse(shard.reason);
      }
    }
    return shards;
  }

  /** What a newer release wrote is left aside, and said once. */
  #refuse(reason: string): void {
    if (this.#told.has(reason)) return;
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.add(reason);
    this.#log.error({ reason }, 'an entry of the registry is refused');
  }
}

function wholeNumber(text: string, keys: readonly string[]): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw corrupt(keys, `'${text.slice(0, 64)}' is not a whole number`);
}
