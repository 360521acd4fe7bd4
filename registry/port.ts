// The registry across threads: the thread that owns one serves it over a MessagePort, other threads
// use it like their own. Closing a client closes its port only: the registry behind it goes on for
// the others.
import type { MessagePort } from 'node:worker_threads';
import { unavailable } from '../common/status.ts';
import { callOverPort, type PortCaller, servePort } from '../transport/port-calls.ts';
import type {
  AssignmentShard,
  CopyRecord,
  Lease,
  ModelLoad,
  NodeRecord,
  Registry,
  RegistryChange,
  ShardStep,
} from './registry.ts';

const METHODS = [
  'putNode',
  'heartbeat',
  'putCopies',
  'removeNode',
  'nodes',
  'copies',
  'copyStamps',
  'copiesOf',
  'putLoads',
  'loadsOf',
  'acquireLease',
  'renewLease',
  'releaseLease',
  'lease',
  'putShard',
  'shardRevisions',
  'shards',
  'announce',
] as const;
type Method = (typeof METHODS)[number];

/** Besides calls (transport/port-calls.ts): the client says whether it listens, and is told. */
interface Watching {
  readonly isWatching: boolean;
}
interface Change {
  readonly change: RegistryChange;
}

/** Serves until the port closes (from either side) or the function returned is called. */
export function serveRegistry(registry: Registry, port: MessagePort): () => void {
  const functions = METHODS.map((method) => {
    const call = registry[method] as (...args: readonly unknown[]) => Promise<unknown>;
    return [method, (...args: readonly unknown[]) => call.apply(registry, [...args])] as const;
  });
  servePort(port, Object.fromEntries(functions));
  let unwatch: (() => void) | undefined;
  const watch = (isWatching: boolean) => {
    unwatch?.();
    unwatch = isWatching
      ? registry.watch((change) => port.postMessage({ change } satisfies Change))
      : undefined;
  };
  port.on('message', (message: Partial<Watching>) => {
    if (message.isWatching !== undefined) watch(message.isWatching);
  });
  port.on('close', () => watch(false));
  // The thread lives for its own work, not for this port.
  port.unref();
  return () => port.close();
}

export function registryOverPort(port: MessagePort): Registry {
  return new PortRegistry(port);
}

class PortRegistry implements Registry {
  readonly #port: MessagePort;
  readonly #caller: PortCaller;
  readonly #listeners = new Set<(change: RegistryChange) => void>();
  #isClosed = false;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', ({ change }: Partial<Change>) => {
      if (change === undefined) return;
      for (const listener of this.#listeners) queueMicrotask(() => listener(change));
    });
    port.on('close', () => this.#end());
    this.#caller = callOverPort(port, { isBackground: true });
  }

  putNode(node: NodeRecord, copies: readonly CopyRecord[], ttlMs: number) {
    return this.#call('putNode', node, copies, ttlMs);
  }

  heartbeat(nodeId: string, incarnation: string, ttlMs: number) {
    return this.#call('heartbeat', nodeId, incarnation, ttlMs);
  }

  putCopies(nodeId: string, incarnation: string, copies: readonly CopyRecord[]) {
    return this.#call('putCopies', nodeId, incarnation, copies);
  }

  removeNode(nodeId: string, incarnation: string) {
    return this.#call('removeNode', nodeId, incarnation);
  }

  nodes() {
    return this.#call('nodes');
  }

  copies() {
    return this.#call('copies');
  }

  copyStamps() {
    return this.#call('copyStamps');
  }

  copiesOf(nodeIds: readonly string[]) {
    return this.#call('copiesOf', nodeIds);
  }

  putLoads(nodeId: string, incarnation: string, loads: readonly ModelLoad[]) {
    return this.#call('putLoads', nodeId, incarnation, loads);
  }

  loadsOf(nodeIds: readonly string[]) {
    return this.#call('loadsOf', nodeIds);
  }

  acquireLease(lease: Lease, ttlMs: number) {
    return this.#call('acquireLease', lease, ttlMs);
  }

  renewLease(lease: Lease, ttlMs: number) {
    return this.#call('renewLease', lease, ttlMs);
  }

  releaseLease(lease: Lease) {
    return this.#call('releaseLease', lease);
  }

  lease(name: string) {
    return this.#call('lease', name);
  }

  putShard(shard: AssignmentShard, step?: ShardStep) {
    return this.#call('putShard', shard, step);
  }

  shardRevisions() {
    return this.#call('shardRevisions');
  }

  shards(indices: readonly number[]) {
    return this.#call('shards', indices);
  }

  announce(topic: string) {
    return this.#call('announce', topic);
  }

  watch(listener: (change: RegistryChange) => void): () => void {
    const entry = (change: RegistryChange) => listener(change);
    if (this.#isClosed) return () => {};
    this.#listeners.add(entry);
    if (this.#listeners.size === 1) this.#post({ isWatching: true });
    return () => {
      if (this.#listeners.delete(entry) && this.#listeners.size === 0) {
        this.#post({ isWatching: false });
      }
    };
  }

  async close(): Promise<void> {
    this.#port.close();
    this.#end();
  }

  async #call<M extends Method>(
    method: M,
    ...args: Parameters<Registry[M]>
  ): Promise<Awaited<ReturnType<Registry[M]>>> {
    if (this.#isClosed) throw unavailable('the registry is closed');
    return (await this.#caller.call(method, ...args)) as Awaited<ReturnType<Registry[M]>>;
  }

  #post(watching: Watching): void {
    this.#port.postMessage(watching);
  }

  #end(): void {
    this.#isClosed = true;
    this.#listeners.clear();
  }
}
