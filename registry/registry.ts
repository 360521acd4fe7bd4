// The live state of a cluster: which nodes are alive, who leads, what is to be where (assignment)
// and what is where (copies). Everything in it can be lost and is then told again: the catalog is
// the record of truth, and predictions never wait for it. Time is the registry's own: a TTL
// counts from the moment the registry took the write.

/** Entries carry it, so that N and N-1 work side by side; a newer one is refused by the reader. */
export const REGISTRY_SCHEMA = 1;

export const ASSIGNMENT_SHARDS = 256;

/** Heartbeats every HEARTBEAT_MS; a node unheard of for NODE_TTL_MS (4 of them) is gone. */
export const HEARTBEAT_MS = 500;
export const NODE_TTL_MS = 2_000;
export const LEADER_LEASE_MS = 3_000;
export const LEADER_RENEW_MS = 1_000;
/** Announcements only save time: every watcher also looks for itself this often. */
export const RESYNC_MS = 60_000;

export interface NodeRecord {
  readonly schema: number;
  readonly id: string;
  /** Another one each time the node starts: a restarted node is not the one that died. */
  readonly incarnation: string;
  /** host:port of its gRPC listener. */
  readonly address: string;
  readonly state: 'SERVING' | 'DRAINING';
  readonly zone: string;
  /** What its models may take together; 0 is no limit. */
  readonly memoryLimitBytes: number;
}

export type CopyState = 'LOADING' | 'READY' | 'UNLOADING' | 'FAILED' | 'QUARANTINED';

/**
 * So often a version may end the process of a node, whichever, while it is loaded or first run;
 * then it is in quarantine.
 */
export const MAX_DEATHS = 3;

/** What a node says of one model version that it holds or tried to hold. */
export interface CopyRecord {
  readonly model: string;
  readonly version: number;
  readonly manifestSha256: string;
  readonly state: CopyState;
  /** Why, for FAILED and QUARANTINED; '' else. */
  readonly reason: string;
  readonly memoryBytes: number;
  /**
   * How often the node's process ended while this was loaded or first run. Absent: never, or a
   * release before this one says it.
   */
  readonly deaths?: number;
}

/** What a node says of its copies; the stamp is another one whenever that is. */
export interface NodeCopies {
  readonly stamp: string;
  readonly copies: readonly CopyRecord[];
}

/** One node tells of no more model versions than these, the busiest. */
export const MAX_LOADS_OF_NODE = 256;

/** How much one model version is called on one node, on an average over some seconds. */
export interface ModelLoad {
  readonly model: string;
  readonly version: number;
  /** That arrived, answered or not. */
  readonly callsPerSecond: number;
  /** Of computing, for each call: what a batch takes is shared among its calls. */
  readonly serviceMs: number;
  /** Calls waiting or running. */
  readonly queued: number;
}

/** Reason of a version that nobody wants loaded, in the word that Triton's clients know. */
export const UNLOADED = 'unloaded';

/** All that nodes and routers need to know of a model version; they never open the catalog. */
export interface AssignmentEntry {
  readonly model: string;
  readonly version: number;
  readonly manifestSha256: string;
  /**
   * Node ids in the order of the ring; the first is the home. After them those that hold it only
   * until these are ready. Empty: known, placed nowhere: on purpose when there is a reason, else
   * there is no node for it.
   */
  readonly nodes: readonly string[];
  /** Share of the model's calls without a version, 0 to 1; 0 is reachable by its number only. */
  readonly weight: number;
  /**
   * Why it is placed nowhere on purpose: UNLOADED, or why it can't be served (quarantine). '' else.
   */
  readonly reason: string;
  readonly isIdempotent: boolean;
  /**
   * A call that takes long may be sent to a second copy as well. Absent in what a release before
   * wrote: false.
   */
  readonly isHedged?: boolean | undefined;
  // As isHedged, what follows came later: a release that does not know it goes on without.
  /**
   * Nodes load it with its first call, and unload it when others need the memory: calls go to its
   * nodes whether or not it is READY there. Absent: it is loaded before any call.
   */
  readonly isOnDemand?: boolean;
  /** About what a copy takes, where that is to be known before it is loaded. Absent: not known. */
  readonly costBytes?: number;
  /** What is called more has a higher rank, up to MAX_TRAFFIC_RANK: loaded first. Absent: 0. */
  readonly trafficRank?: number;
  /**
   * Ends of nodes' processes that the leader has counted. A node that has ended of it more often
   * does not try again before the leader knows. Absent: 0.
   */
  readonly deaths?: number;
}

/** Each rank stands for twice the calls a second of the one before. */
export const MAX_TRAFFIC_RANK = 15;

/** One of ASSIGNMENT_SHARDS parts of the assignment, by hash of the model's name. */
export interface AssignmentShard {
  readonly schema: number;
  readonly index: number;
  /** The leader's; older ones are refused by registry, routers and nodes. */
  readonly epoch: number;
  /** Grows within an epoch with each change of this shard. */
  readonly revision: number;
  readonly entries: readonly AssignmentEntry[];
}

export interface ShardRevision {
  readonly index: number;
  readonly epoch: number;
  readonly revision: number;
}

/**
 * What the writer of a shard knows of the step to it: a node whose entries stay as they were in the
 * revision before, and which has that one, need not read the new one.
 */
export interface ShardStep {
  readonly to: ShardRevision;
  readonly from: ShardRevision;
  /** Nodes that have entries, before or after, which are others now. */
  readonly nodeIds: readonly string[];
}

export interface Lease {
  readonly name: string;
  readonly owner: string;
  /**
   * The catalog's fencing number that the owner raised before it asked; the registry carries it.
   */
  readonly epoch: number;
}

/** What may have changed; a watcher reads again what it is interested in. */
export type RegistryChange =
  /** Hints may have been lost (or it has only now begun to hear): anything may have changed. */
  | { readonly kind: 'all' }
  | { readonly kind: 'nodes' }
  | { readonly kind: 'copies'; readonly nodeId: string }
  | { readonly kind: 'assignment'; readonly index: number; readonly step?: ShardStep }
  | { readonly kind: 'lease'; readonly name: string }
  | { readonly kind: 'announcement'; readonly topic: string };

/**
 * Every method may fail with UNAVAILABLE when the registry can't be reached. Entries of a newer
 * REGISTRY_SCHEMA than the reader's may be left out of what is read.
 */
export interface Registry {
  /** Makes or replaces a node with its copies; alive for ttlMs from now. */
  putNode(node: NodeRecord, copies: readonly CopyRecord[], ttlMs: number): Promise<void>;
  /** False: not known (never, expired, or another incarnation): call putNode again. */
  heartbeat(nodeId: string, incarnation: string, ttlMs: number): Promise<boolean>;
  /** Replaces what the node says of its copies. False as for heartbeat. */
  putCopies(nodeId: string, incarnation: string, copies: readonly CopyRecord[]): Promise<boolean>;
  /**
   * Replaces what the node says of its load, at most MAX_LOADS_OF_NODE; watchers are not told.
   * False as for heartbeat.
   */
  putLoads(nodeId: string, incarnation: string, loads: readonly ModelLoad[]): Promise<boolean>;
  /** Of these nodes, by node id; those that are gone, or said nothing, may be left out. */
  loadsOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, readonly ModelLoad[]>>;
  /** Leaves at once; nothing happens when it is another incarnation's by now. */
  removeNode(nodeId: string, incarnation: string): Promise<void>;
  /** The live nodes, ordered by id. */
  nodes(): Promise<readonly NodeRecord[]>;
  /** Copies of the live nodes, by node id. */
  copies(): Promise<ReadonlyMap<string, readonly CopyRecord[]>>;
  /** Of the live nodes, by node id: who remembers them reads the copies of those that changed. */
  copyStamps(): Promise<ReadonlyMap<string, string>>;
  /** Of these nodes, by node id; one that is gone may be left out. */
  copiesOf(nodeIds: readonly string[]): Promise<ReadonlyMap<string, NodeCopies>>;

  /**
   * True: the lease is the owner's for ttlMs. False: another owner's is still running, or an epoch
   * after this one has held it (within LEASE_FENCE_MS).
   */
  acquireLease(lease: Lease, ttlMs: number): Promise<boolean>;
  /** False: lost (expired, or another's by now). */
  renewLease(lease: Lease, ttlMs: number): Promise<boolean>;
  releaseLease(lease: Lease): Promise<void>;
  lease(name: string): Promise<Lease | undefined>;

  /**
   * False: refused, since the shard there has a newer (epoch, revision) or the same. The step is
   * told to watchers, where it is not too long.
   */
  putShard(shard: AssignmentShard, step?: ShardStep): Promise<boolean>;
  /** Of the shards that were ever written, ordered by index. */
  shardRevisions(): Promise<readonly ShardRevision[]>;
  shards(indices: readonly number[]): Promise<readonly AssignmentShard[]>;

  /** Tells watchers of a topic ('jobs'): carries no data. */
  announce(topic: string): Promise<void>;
  /** Hints of changes, from any client; some may be lost. The function returned ends it. */
  watch(listener: (change: RegistryChange) => void): () => void;
  close(): Promise<void>;
}
