// The nodes as this router reaches them: a connection each, or the Backend of a node of this
// process; how many calls are out there; and which get none for now: a connection was lost, probes
// are not answered, or the copy was ejected.
import { Code, type StatusError } from '../common/status.ts';
import type { NodeRecord } from '../registry/registry.ts';
import { type Backend, ConnectionLost } from '../transport/backend.ts';
import type { RawOpener } from '../transport/raw-call.ts';
import { CopyHealth, mostEjected, SLOW_START_MS, slowStartShare } from './copy-health.ts';

/** A node whose connection was lost gets no calls for so long; the registry's word comes later. */
export const SUSPECT_MS = 1_000;

/**
 * For connections to nodes: a machine that vanished without a word is noticed in their sum, and its
 * calls go elsewhere. A node whose event loop stalls for longer looks the same. Before that, probes
 * have kept new calls from it (probes.ts).
 */
export const NODE_KEEPALIVE = { timeMs: 500, timeoutMs: 1_000 } as const;

/** Copies of a node that are remembered as failing; of more, the first are forgotten. */
const MAX_FAILING_COPIES = 1_000;

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
  /** In [0, 1): which calls go to one that comes back slowly. */
  readonly random: () => number;
  /** A copy is left out from now on. */
  readonly onEjected: (ejected: Ejected) => void;
}

export interface Ejected {
  readonly node: string;
  readonly model: string;
  readonly reason: 'failures' | 'latency';
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
  /** When it last said anything, or was first asked something again. */
  heardMs = Number.NEGATIVE_INFINITY;
  /** It does not answer probes. */
  isSilent = false;
  /** Since when it gets calls again after it was suspected or silent. */
  backSinceMs = Number.NEGATIVE_INFINITY;
  /** Of models whose copy here has failed lately. */
  readonly failing = new Map<string, CopyHealth>();
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
  /** From then on everybody gets its calls: no suspicion, ejection or slow start ends later. */
  #unevenUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** Follows the live nodes: retires connections to those that left, opens the others when used. */
  follow(nodes: Iterable<NodeRecord>, nowMs: number): void {
    this.#known.clear();
    const isFirst = this.#byId.size === 0;
    const gone = new Set(this.#byId.keys());
    for (const node of nodes) {
      gone.delete(node.id);
      const held = this.#byId.get(node.id);
      if (held?.incarnation === node.incarnation && held.address === node.address) continue;
      held?.retire();
      const upstream = this.#open(node);
      this.#byId.set(node.id, upstream);
      if (isFirst) continue;
      upstream.backSinceMs = nowMs;
      this.#isUnevenUntil(nowMs + SLOW_START_MS);
    }
    for (const id of gone) {
      this.#byId.get(id)?.retire();
      this.#byId.delete(id);
    }
  }

  /** Those of the ids that may be tried now. A list of ids must not change later. */
  usable(
    ids: readonly string[],
    nowMs: number,
    tried: ReadonlySet<string>,
    model: string,
  ): readonly Upstream[] {
    const known = this.#known.get(ids) ?? this.#find(ids);
    if (tried.size === 0 && nowMs >= this.#unevenUntilMs) return known;
    const reachable = known.filter((one) => !tried.has(one.id) && isReachable(one, nowMs));
    return nowMs >= this.#unevenUntilMs ? reachable : this.#even(reachable, known, nowMs, model);
  }

  /** Those of the ids that would answer, ejected or not. */
  reachable(ids: readonly string[], nowMs: number): readonly Upstream[] {
    return ids.flatMap((id) => this.#byId.get(id) ?? []).filter((one) => isReachable(one, nowMs));
  }

  /** An answer has come: what it says of the copy, and of its node. */
  answered(upstream: Upstream, model: string, code: Code, nowMs: number): void {
    if (code === Code.OK) {
      upstream.heardMs = nowMs;
      if (upstream.failing.size > 0) upstream.failing.get(model)?.succeeded();
    } else if (code === Code.INTERNAL || code === Code.UNKNOWN) {
      upstream.heardMs = nowMs;
      this.#failed(upstream, model, nowMs);
    } else if (code !== Code.CANCELLED && code !== Code.DEADLINE_EXCEEDED) {
      upstream.heardMs = nowMs;
    }
  }

  /** No answer comes of the copy, or one that says no. */
  failed(upstream: Upstream, model: string, error: StatusError, nowMs: number): void {
    if (!(error instanceof ConnectionLost)) {
      this.answered(upstream, model, error.code, nowMs);
      return;
    }
    upstream.suspectUntilMs = nowMs + SUSPECT_MS;
    upstream.backSinceMs = upstream.suspectUntilMs;
    this.#isUnevenUntil(upstream.suspectUntilMs + SLOW_START_MS);
    this.#failed(upstream, model, nowMs);
  }

  /** It takes far longer than the others. */
  eject(node: string, model: string, nowMs: number): void {
    const upstream = this.#byId.get(node);
    if (upstream === undefined) return;
    const health = healthOf(upstream, model);
    health.eject(nowMs);
    this.#isUnevenUntil(health.ejectedUntilMs + SLOW_START_MS);
    this.#options.onEjected({ node, model, reason: 'latency' });
  }

  /** Whether it answers probes. True: that is new. */
  heard(upstream: Upstream, isSilent: boolean, nowMs: number): boolean {
    if (!isSilent) upstream.heardMs = nowMs;
    if (upstream.isSilent === isSilent) return false;
    upstream.isSilent = isSilent;
    if (!isSilent) upstream.backSinceMs = nowMs;
    this.#unevenUntilMs = nowMs + SLOW_START_MS;
    for (const one of this.#byId.values()) {
      const untilMs = one.isSilent ? Number.POSITIVE_INFINITY : endOfUneven(one);
      this.#isUnevenUntil(untilMs);
    }
    return true;
  }

  /** All that it knows, for probes. */
  all(): Iterable<Upstream> {
    return this.#byId.values();
  }

  /** Copies that are left out now. */
  ejected(nowMs: number): number {
    let count = 0;
    for (const { failing } of this.#byId.values()) {
      for (const health of failing.values()) if (health.isEjected(nowMs)) count += 1;
    }
    return count;
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

  #isUnevenUntil(untilMs: number): void {
    this.#unevenUntilMs = Math.max(this.#unevenUntilMs, untilMs);
  }

  #failed(upstream: Upstream, model: string, nowMs: number): void {
    const health = healthOf(upstream, model);
    if (!health.failed(nowMs)) return;
    this.#isUnevenUntil(health.ejectedUntilMs + SLOW_START_MS);
    this.#options.onEjected({ node: upstream.id, model, reason: 'failures' });
  }

  /** Without those that are ejected, as far as that goes, nor those whose turn is not yet. */
  #even(
    reachable: readonly Upstream[],
    known: readonly Upstream[],
    nowMs: number,
    model: string,
  ): readonly Upstream[] {
    if (reachable.length < 2) return reachable;
    const inOrder = [...reachable].sort((a, b) => endMs(a, model) - endMs(b, model));
    const out = reachable.filter((one) => one.failing.get(model)?.isEjected(nowMs) === true).length;
    const kept = inOrder.slice(0, reachable.length - Math.min(out, mostEjected(known.length)));
    const { random } = this.#options;
    const turn = kept.filter((one) => {
      const share = slowStartShare(Math.max(one.backSinceMs, endMs(one, model)), nowMs);
      return share === 1 || random() < share;
    });
    return turn.length === 0 ? kept : turn;
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

function isReachable({ suspectUntilMs, isSilent }: Upstream, nowMs: number): boolean {
  return nowMs >= suspectUntilMs && !isSilent;
}

/** When the copy's ejection ends or ended. */
function endMs(upstream: Upstream, model: string): number {
  return upstream.failing.get(model)?.ejectedUntilMs ?? Number.NEGATIVE_INFINITY;
}

function endOfUneven({ failing, suspectUntilMs }: Upstream): number {
  let lastMs = suspectUntilMs;
  for (const { ejectedUntilMs } of failing.values()) lastMs = Math.max(lastMs, ejectedUntilMs);
  return lastMs + SLOW_START_MS;
}

function healthOf({ failing }: Upstream, model: string): CopyHealth {
  const known = failing.get(model);
  if (known !== undefined) return known;
  const [oldest] = failing.keys();
  if (failing.size >= MAX_FAILING_COPIES && oldest !== undefined) failing.delete(oldest);
  const health = new CopyHealth();
  failing.set(model, health);
  return health;
}

function opensRaw(connection: NodeConnection): connection is NodeConnection & RawOpener {
  return connection.open !== undefined;
}
