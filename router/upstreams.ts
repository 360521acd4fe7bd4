// The nodes as this router reaches them: a connection each, or the Backend of a node of this
// process; how many calls are out there; and which are suspected dead since a connection was lost.

import type { NodeRecord } from '../registry/registry.ts';
import { type Backend, ConnectionLost } from '../transport/backend.ts';
import type { RawOpener } from '../transport/raw-call.ts';

/** A node whose connection was lost gets no calls for so long; the registry's word comes later. */
export const SUSPECT_MS = 1_000;

/**
 * For connections to nodes: a machine that vanished without a word is noticed in their sum, and its
 * calls go elsewhere. A node whose event loop stalls for longer looks the same.
 */
export const NODE_KEEPALIVE = { timeMs: 500, timeoutMs: 2_000 } as const;

/** Lists of nodes that are remembered; then all are looked up anew. */
const MAX_KNOWN_LISTS = 10_000;

/** One that can't open raw calls serves a router whose `raw` is not used. */
export interface NodeConnection extends Backend, Partial<RawOpener> {
  /** Takes no more calls, and closes when those that were sent have ended. */
  drain(): Promise<void>;
  /** At once: what is open is lost. */
  close(): void;
}

export interface UpstreamOptions {
  connect(address: string): NodeConnection;
  /** Nodes of this process, by id: called without a network hop. */
  readonly localBackends: ReadonlyMap<string, Backend>;
}

export class Upstream {
  readonly id: string;
  readonly incarnation: string;
  readonly address: string;
  readonly backend: Backend;
  /** For calls that are passed on; undefined: the node is in this process. */
  readonly opener: RawOpener | undefined;
  outstanding = 0;
  suspectUntilMs = Number.NEGATIVE_INFINITY;
  readonly #connection: NodeConnection | undefined;

  constructor(node: NodeRecord, backend: Backend, connection: NodeConnection | undefined) {
    this.id = node.id;
    this.incarnation = node.incarnation;
    this.address = node.address;
    this.backend = backend;
    this.opener = connection !== undefined && opensRaw(connection) ? connection : undefined;
    this.#connection = connection;
  }

  /** What is on its way may yet be answered: a node can live on without the registry's knowing. */
  retire(): void {
    void this.#connection?.drain();
  }

  close(): void {
    this.#connection?.close();
  }
}

export class Upstreams {
  readonly #options: UpstreamOptions;
  readonly #byId = new Map<string, Upstream>();
  /** By the list of ids asked for: the same few come again with every call. */
  readonly #known = new Map<readonly string[], readonly Upstream[]>();
  /** No suspicion ends later. */
  #suspectUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** Follows the live nodes: retires connections to those that left, opens the others when used. */
  follow(nodes: Iterable<NodeRecord>): void {
    this.#known.clear();
    const gone = new Set(this.#byId.keys());
    for (const node of nodes) {
      gone.delete(node.id);
      const held = this.#byId.get(node.id);
      if (held?.incarnation === node.incarnation && held.address === node.address) continue;
      held?.retire();
      this.#byId.set(node.id, this.#open(node));
    }
    for (const id of gone) {
      this.#byId.get(id)?.retire();
      this.#byId.delete(id);
    }
  }

  /** Those of the ids that may be tried now. A list of ids must not change later. */
  usable(ids: readonly string[], nowMs: number, tried: ReadonlySet<string>): readonly Upstream[] {
    const known = this.#known.get(ids) ?? this.#find(ids);
    if (tried.size === 0 && nowMs >= this.#suspectUntilMs) return known;
    return known.filter(({ id, suspectUntilMs }) => !tried.has(id) && nowMs >= suspectUntilMs);
  }

  /** Marks the node when the error says that it was lost. */
  suspect(upstream: Upstream, error: Error, nowMs: number): void {
    if (!(error instanceof ConnectionLost)) return;
    upstream.suspectUntilMs = nowMs + SUSPECT_MS;
    this.#suspectUntilMs = Math.max(this.#suspectUntilMs, upstream.suspectUntilMs);
  }

  get size(): number {
    return this.#byId.size;
  }

  /** When the next suspicion ends; Infinity: nobody is suspected. */
  nextTrustMs(nowMs: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { suspectUntilMs } of this.#byId.values()) {
      if (suspectUntilMs > nowMs) next = Math.min(next, suspectUntilMs);
    }
    return next;
  }

  close(): void {
    for (const upstream of this.#byId.values()) upstream.close();
    this.#byId.clear();
    this.#known.clear();
  }

  #find(ids: readonly string[]): readonly Upstream[] {
    const found = ids.flatMap((id) => this.#byId.get(id) ?? []);
    if (this.#known.size >= MAX_KNOWN_LISTS) this.#known.clear();
    this.#known.set(ids, found);
    return found;
  }

  #open(node: NodeRecord): Upstream {
    const local = this.#options.localBackends.get(node.id);
    if (local !== undefined) return new Upstream(node, local, undefined);
    const connection = this.#options.connect(node.address);
    return new Upstream(node, connection, connection);
  }
}

function opensRaw(connection: NodeConnection): connection is NodeConnection & RawOpener {
  return connection.open !== undefined;
}
