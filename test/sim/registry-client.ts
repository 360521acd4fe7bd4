// A process's way to the registry, as the one over Redis behaves: calls come in order, each ends in
// bounded time with an answer or UNAVAILABLE (it may have been done all the same), hints come in
// bunches and are lost while the way is cut; when it is there again the watcher is told 'all'.
import { unavailable } from '../../common/status.ts';
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
} from '../../registry/registry.ts';
import type { Life } from './machine.ts';
import type { Network } from './network.ts';
import type { RegistryServer } from './registry-server.ts';

/** As CALL_TIMEOUT_MS of registry/redis/connection.ts. */
const CALL_TIMEOUT_MS = 1_250;
/** A connection that was lost is there again so long after it can be. */
const RECONNECT_MS = 200;
/** How often a watcher finds out that its connection is lost. */
const HINT_PING_MS = 2_000;

/** A busy server lets hints gather for so long. */
const HINT_BUNCH_MS = 12;

/** Sees what this process tells the registry, at the moment of telling. */
export interface RegistryObserver {
  putsCopies?(copies: readonly CopyRecord[]): void;
  putsShard?(shard: AssignmentShard): void;
  /** At the server. */
  tookShard?(shard: AssignmentShard, isTaken: boolean): void;
  tookLease?(lease: Lease): void;
}

export class RegistryClient implements Registry {
  readonly #server: RegistryServer;
  readonly #network: Network;
  readonly #life: Life;
  readonly #observer: RegistryObserver;
  readonly #listeners = new Set<(change: RegistryChange) => void>();
  /** On their way together; undefined: none are. */
  #bunch: RegistryChange[] | undefined;
  #hasLostHints = false;
  #cancels: (() => void)[] = [];

  constructor(
    server: RegistryServer,
    network: Network,
    life: Life,
    observer: RegistryObserver = {},
  ) {
    this.#server = server;
    this.#network = network;
    this.#life = life;
    this.#observer = observer;
    life.onEnd(() => this.#end());
  }

  putNode(node: NodeRecord, copies: readonly CopyRecord[], ttlMs: number): Promise<void> {
    this.#observer.putsCopies?.(copies);
    return this.#ask((registry) => registry.putNode(node, copies, ttlMs));
  }

  heartbeat(nodeId: string, incarnation: string, ttlMs: number): Promise<boolean> {
    return this.#ask((registry) => registry.heartbeat(nodeId, incarnation, ttlMs));
  }

  putCopies(nodeId: string, incarnation: string, copies: readonly CopyRecord[]): Promise<boolean> {
    this.#observer.putsCopies?.(copies);
    return this.#ask((registry) => registry.putCopies(nodeId, incarnation, copies));
  }

  removeNode(nodeId: string, incarnation: string): Promise<void> {
    return this.#ask((registry) => registry.removeNode(nodeId, incarnation));
  }

  nodes(): Promise<readonly NodeRecord[]> {
    return this.#ask((registry) => registry.nodes());
  }

  copies(): Promise<ReadonlyMap<string, readonly CopyRecord[]>> {
    return this.#ask((registry) => registry.copies());
  }

  copyStamps(): Promise<ReadonlyMap<string, string>> {
    return this.#ask((registry) => registry.copyStamps());
  }

  copiesOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, NodeCopies>> {
    return this.#ask((registry) => registry.copiesOf(nodeIds));
  }

  putLoads(nodeId: string, incarnation: string, loads: readonly ModelLoad[]): Promise<boolean> {
    return this.#ask((registry) => registry.putLoads(nodeId, incarnation, loads));
  }

  loadsOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, readonly ModelLoad[]>> {
    return this.#ask((registry) => registry.loadsOf(nodeIds));
  }

  acquireLease(lease: Lease, ttlMs: number): Promise<boolean> {
    return this.#ask(async (registry) => {
      const isTaken = await registry.acquireLease(lease, ttlMs);
      if (isTaken) this.#observer.tookLease?.(lease);
      return isTaken;
    });
  }

  renewLease(lease: Lease, ttlMs: number): Promise<boolean> {
    return this.#ask((registry) => registry.renewLease(lease, ttlMs));
  }

  releaseLease(lease: Lease): Promise<void> {
    return this.#ask((registry) => registry.releaseLease(lease));
  }

  lease(name: string): Promise<Lease | undefined> {
    return this.#ask((registry) => registry.lease(name));
  }

  putShard(shard: AssignmentShard, step?: ShardStep): Promise<boolean> {
    this.#observer.putsShard?.(shard);
    return this.#ask(async (registry) => {
      const isTaken = await registry.putShard(shard, step);
      this.#observer.tookShard?.(shard, isTaken);
      return isTaken;
    });
  }

  shardRevisions(): Promise<readonly ShardRevision[]> {
    return this.#ask((registry) => registry.shardRevisions());
  }

  shards(indices: readonly number[]): Promise<readonly AssignmentShard[]> {
    return this.#ask((registry) => registry.shards(indices));
  }

  announce(topic: string): Promise<void> {
    return this.#ask((registry) => registry.announce(topic));
  }

  watch(listener: (change: RegistryChange) => void): () => void {
    if (this.#listeners.size === 0) this.#subscribe();
    const entry = (change: RegistryChange): void => listener(change);
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  async close(): Promise<void> {
    this.#end();
  }

  #ask<T>(ask: (registry: Registry) => Promise<T>): Promise<T> {
    const [server, life] = [this.#server, this.#life];
    const [client, there] = [life.machine.name, server.machine.name];
    const { schedule } = life.machine;
    return new Promise<T>((resolve, reject) => {
      const cancel = life.after(CALL_TIMEOUT_MS, () => {
        // The answer may lie in the socket, unread.
        schedule.after(0, () => life.arrive(() => reject(unavailable('the registry is silent'))));
      });
      const answer = (take: () => void): void => {
        this.#network.send(there, client, () => {
          life.arrive(() => {
            cancel();
            take();
          });
        });
      };
      this.#network.send(client, there, () => {
        if (!server.isUp) return;
        const { age } = server;
        ask(server.registry).then(
          (value) => {
            if (server.isUp && server.age === age) answer(() => resolve(value));
          },
          (error: unknown) => {
            if (server.isUp && server.age === age) answer(() => reject(error));
          },
        );
      });
    });
  }

  #subscribe(): void {
    const server = this.#server;
    this.#cancels.push(
      server.watch((change) => this.#hint(change)),
      server.onUp(() => this.#lose()),
    );
    this.#connected();
  }

  #hint(change: RegistryChange): void {
    const [here, there] = [this.#life.machine.name, this.#server.machine.name];
    if (this.#hasLostHints) return;
    if (this.#network.isCut(there, here) || !this.#server.isUp) {
      this.#lose();
      return;
    }
    if (this.#bunch !== undefined) {
      this.#bunch.push(change);
      return;
    }
    const bunch = [change];
    this.#bunch = bunch;
    const come = (): void => {
      if (this.#bunch === bunch) this.#bunch = undefined;
      this.#life.arrive(() => {
        for (const one of bunch) this.#tell(one);
      });
    };
    this.#life.machine.schedule.after(this.#network.between(0, HINT_BUNCH_MS), () => {
      this.#network.send(there, here, come, () => this.#lose());
    });
  }

  /** Looks, until it is connected again, as its pings do. */
  #lose(): void {
    if (this.#hasLostHints) return;
    this.#hasLostHints = true;
    this.#bunch = undefined;
    const [here, there] = [this.#life.machine.name, this.#server.machine.name];
    const { schedule } = this.#life.machine;
    const look = (): void => {
      if (!this.#life.isAlive) return;
      const isAway =
        !this.#server.isUp || this.#network.isCut(there, here) || this.#network.isCut(here, there);
      if (isAway) schedule.after(HINT_PING_MS / 4, look);
      else this.#connected();
    };
    schedule.after(RECONNECT_MS, look);
  }

  #connected(): void {
    const [here, there] = [this.#life.machine.name, this.#server.machine.name];
    this.#hasLostHints = false;
    this.#network.send(there, here, () => this.#life.arrive(() => this.#tell({ kind: 'all' })));
  }

  #tell(change: RegistryChange): void {
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) listener(change);
    }
  }

  #end(): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels = [];
    this.#listeners.clear();
  }
}
