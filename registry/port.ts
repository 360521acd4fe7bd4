// The registry across threads: the thread that owns one serves it over a MessagePort, other threads
// use it like their own. Calls of one port are taken in order; errors cross with their code.
// Closing a client closes its port only: the registry behind it goes on for the others.
import type { MessagePort } from 'node:worker_threads';
import { type Code, codeOf, StatusError, statusOf, unavailable } from '../common/status.ts';
import type {
  AssignmentShard,
  CopyRecord,
  Lease,
  NodeRecord,
  Registry,
  RegistryChange,
} from './registry.ts';

/** Calls that one client may have in flight; more are UNAVAILABLE: the other thread hangs. */
export const MAX_PENDING_CALLS = 10_000;

const METHODS = [
  'putNode',
  'heartbeat',
  'putCopies',
  'removeNode',
  'nodes',
  'copies',
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

type Request =
  | { readonly id: number; readonly method: Method; readonly args: readonly unknown[] }
  | { readonly isWatching: boolean };

type Reply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { readonly code: Code; readonly message: string } }
  | { readonly change: RegistryChange };

/** Serves until the port closes (from either side) or the function returned is called. */
export function serveRegistry(registry: Registry, port: MessagePort): () => void {
  let unwatch: (() => void) | undefined;
  const post = (reply: Reply) => port.postMessage(reply);
  const watch = (isWatching: boolean) => {
    unwatch?.();
    unwatch = isWatching ? registry.watch((change) => post({ change })) : undefined;
  };
  port.on('message', (request: Request) => {
    if ('isWatching' in request) watch(request.isWatching);
    else void answer(registry, request.method, request.args, request.id).then(post);
  });
  port.on('close', () => watch(false));
  // The thread lives for its own work, not for this port.
  port.unref();
  return () => port.close();
}

async function answer(
  registry: Registry,
  method: Method,
  args: readonly unknown[],
  id: number,
): Promise<Reply> {
  try {
    const call = registry[method] as (...args: readonly unknown[]) => Promise<unknown>;
    return { id, result: await call.apply(registry, [...args]) };
  } catch (thrown) {
    const { code, message } = statusOf(thrown);
    return { id, error: { code, message } };
  }
}

export function registryOverPort(port: MessagePort): Registry {
  return new PortRegistry(port);
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: StatusError): void;
}

class PortRegistry implements Registry {
  readonly #port: MessagePort;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(change: RegistryChange) => void>();
  #nextId = 1;
  #isClosed = false;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (reply: Reply) => this.#take(reply));
    port.on('close', () => this.#end());
    port.unref();
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

  putShard(shard: AssignmentShard) {
    return this.#call('putShard', shard);
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
    if (this.#isClosed) throw closed();
    if (this.#pending.size >= MAX_PENDING_CALLS) {
      throw unavailable(`the registry's thread has not answered ${MAX_PENDING_CALLS} calls`);
    }
    const id = this.#nextId++;
    this.#post({ id, method, args });
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject });
    // The thread must live to see the answer, but not longer.
    if (this.#pending.size === 1) this.#port.ref();
    return (await promise) as Awaited<ReturnType<Registry[M]>>;
  }

  #post(request: Request): void {
    this.#port.postMessage(request);
  }

  #take(reply: Reply): void {
    if ('change' in reply) {
      for (const listener of this.#listeners) queueMicrotask(() => listener(reply.change));
      return;
    }
    const pending = this.#pending.get(reply.id);
    if (pending === undefined || !this.#pending.delete(reply.id)) return;
    if (this.#pending.size === 0) this.#port.unref();
    if ('result' in reply) pending.resolve(reply.result);
    else pending.reject(new StatusError(codeOf(reply.error.code), reply.error.message));
  }

  #end(): void {
    this.#isClosed = true;
    this.#listeners.clear();
    for (const pending of this.#pending.values()) pending.reject(closed());
    this.#pending.clear();
  }
}

function closed(): StatusError {
  return unavailable('the registry is closed');
}
