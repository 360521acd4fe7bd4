// Hints of changes between the registry's clients: one channel of plain pub/sub, which a cluster
// carries to all its nodes. A hint is a word and a name; it is sent by the script that made the
// change. Hints are lost while a watcher is not connected, so when it is again it is told 'all'.
import type { Redis } from 'ioredis';
import type { Clock } from '../../common/clock.ts';
import { ASSIGNMENT_SHARDS, type RegistryChange, type ShardStep } from '../registry.ts';
import { MAX_RETRY_MS } from './client-options.ts';
import { parseStep } from './step-hint.ts';

/** A connection that brings nothing is asked now and then whether it is still one. */
export const HINT_PING_MS = 2_000;
/** What is longer was not sent by us. */
const MAX_HINT_CHARACTERS = 1_024;

export function announcementHint(topic: string): string {
  return `announcement ${topic}`;
}

/** undefined: not a hint of ours, perhaps a newer release's. */
export function parseHint(text: string): RegistryChange | undefined {
  if (text.length > MAX_HINT_CHARACTERS) return undefined;
  const space = text.indexOf(' ');
  const [kind, name] = space < 0 ? [text, ''] : [text.slice(0, space), text.slice(space + 1)];
  switch (kind) {
    case 'nodes':
      return { kind };
    case 'copies':
      return { kind, nodeId: name };
    case 'lease':
      return { kind, name };
    case 'announcement':
      return { kind, topic: name };
    case 'assignment': {
      const index = /^[0-9]{1,3}$/.test(name) ? Number(name) : ASSIGNMENT_SHARDS;
      return index < ASSIGNMENT_SHARDS ? { kind, index } : undefined;
    }
    default:
      return undefined;
  }
}

export interface HintsOptions {
  readonly channel: string;
  readonly clock: Clock;
  /** A new connection, not yet connected. */
  connect(): Redis;
}

/** Is connected while somebody listens. */
export class Hints {
  readonly #options: HintsOptions;
  readonly #listeners = new Set<(change: RegistryChange) => void>();
  #client: Redis | undefined;
  /** What the hint that comes next is about, if it is of that shard. */
  #step: ShardStep | undefined;
  #cancelPing = (): void => {};

  constructor(options: HintsOptions) {
    this.#options = options;
  }

  watch(listener: (change: RegistryChange) => void): () => void {
    // One that is given twice is two watchers.
    const entry = (change: RegistryChange): void => listener(change);
    this.#listeners.add(entry);
    if (this.#client === undefined) this.#open();
    return () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size === 0) this.#shut();
    };
  }

  close(): void {
    this.#listeners.clear();
    this.#shut();
  }

  #shut(): void {
    this.#cancelPing();
    const client = this.#client;
    this.#client = undefined;
    client?.disconnect();
  }

  #open(): void {
    const client = this.#options.connect();
    this.#client = client;
    const isOurs = (): boolean => this.#client === client;
    // Why it is not connected is told by the calls that fail for the same reason.
    client.on('error', () => {});
    client.on('ready', () => {
      client.subscribe(this.#options.channel).then(
        () => {
          if (isOurs()) this.#tell({ kind: 'all' });
        },
        // Refused, most likely: asking without a pause would not help.
        () => this.#options.clock.after(HINT_PING_MS, () => client.disconnect(true)),
      );
    });
    client.on('message', (_: string, text: string) => {
      if (isOurs()) this.#hear(text);
    });
    client.on('end', () => {
      if (!isOurs()) return;
      this.#options.clock.after(MAX_RETRY_MS, () => {
        if (isOurs()) this.#open();
      });
    });
    client.connect().catch(() => {});
    this.#planPing(client);
  }

  #hear(text: string): void {
    const step = this.#step;
    this.#step = parseStep(text);
    const change = parseHint(text);
    if (change === undefined) return;
    const isItsStep = change.kind === 'assignment' && step?.to.index === change.index;
    this.#tell(isItsStep ? { ...change, step } : change);
  }

  /** A peer that went away without a word is found so. */
  #planPing(client: Redis): void {
    this.#cancelPing();
    this.#cancelPing = this.#options.clock.after(HINT_PING_MS, () => {
      if (this.#client !== client) return;
      this.#planPing(client);
      // One that does not answer is dropped by its own limit of silence.
      if (client.status === 'ready') client.ping().catch(() => {});
    });
  }

  /** Each listener runs for itself: what one throws is not another's affair. */
  #tell(change: RegistryChange): void {
    for (const listener of this.#listeners) {
      queueMicrotask(() => {
        if (this.#listeners.has(listener)) listener(change);
      });
    }
  }
}
