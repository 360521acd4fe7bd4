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

/** One that can't open raw calls serves a router whose `raw` is not used. */
export interface NodeConnection extends Backend, Partial<RawOpener> {
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

  close(): void {
    this.#connection?.close();
  }
}

export class Upstreams {
  readonly #options: UpstreamOptions;
  readonly #byId = new Map<string, Upstream>();

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** Follows the live nodes: closes connections to those that left, opens the others when used. */
  follow(nodes: Iterable<NodeRecord>): void {
    const gone = new Set(this.#byId.keys());
    for (const node of nodes) {
      gone.delete(node.id);
      const held = this.#byId.get(node.id);
      if (held?.incarnation === node.incarnation && held.address === node.address) continue;
      held?.close();
      this.#byId.set(node.id, this.#open(node));
    }
    for (const id of gone) {
      this.#byId.get(id)?.close();
      this.#byId.delete(id);
    }
  }

  /** Those of the ids that may be tried now. */
  usable(ids: Iterable<string>, nowMs: number, tried: ReadonlySet<string>): readonly Upstream[] {
    const found: Upstream[] = [];
    for (const id of ids) {
      const upstream = this.#byId.get(id);
      if (upstream === undefined || tried.has(id) || nowMs < upstream.suspectUntilMs) continue;
      found.push(upstream);
    }
    return found;
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

/** Marks the node when the error says that it was lost. */
export function suspect(upstream: Upstream, error: Error, nowMs: number): void {
  if (error instanceof ConnectionLost) upstream.suspectUntilMs = nowMs + SUSPECT_MS;
}
