// What the main thread and the I/O threads of the data plane tell each other. The first I/O thread
// leads: it has the nodes, and the word on all that is not a call for an inline model. The others
// stand beside it on the same ports.
import type { MessagePort } from 'node:worker_threads';
import type { MetricsSnapshot } from '../../common/metrics.ts';
import type { MethodKind } from '../../transport/backend.ts';
import type { UpSettings } from './settings.ts';

/** One end of what joins the lead thread and a side thread. */
export interface SidePorts {
  /** Calls that the side thread hands over (transport/handover/). */
  readonly calls: MessagePort;
  /** Functions, both ways (transport/port-calls.ts). */
  readonly functions: MessagePort;
}

/** Given to the lead thread when it starts. */
export interface LeadData {
  readonly settings: UpSettings;
  /** Folder of the blobs, read here directly: blobs never change once they are there. */
  readonly blobsDir: string;
  /** Each node keeps its cache and its last assignment in a folder of its own below this. */
  readonly nodesDir: string;
  /** Another one at each start: makes incarnations. */
  readonly startId: string;
  /** The registry of the main thread (registry/port.ts): one port for each client of it. */
  readonly registryPorts: readonly MessagePort[];
  /** Functions of the main thread (transport/port-calls.ts): PlaneControl. */
  readonly controlPort: MessagePort;
  readonly sides: readonly SidePorts[];
  /** Calls of the main thread for the router (transport/handover/). */
  readonly callsPort: MessagePort;
}

/** Given to a side thread when it starts. */
export interface SideData {
  readonly settings: UpSettings;
  /** The lead is 1. */
  readonly number: number;
  /** For its router. */
  readonly registryPort: MessagePort;
  readonly lead: SidePorts;
}

export type Methods = ReadonlyMap<string, MethodKind>;

export interface PlaneAddresses {
  readonly grpcPort: number;
  readonly nodePorts: readonly number[];
}

/** What side threads need to know to stand beside the lead. */
export interface LeadOpened extends PlaneAddresses {
  readonly routerMethods: Methods;
  readonly nodeMethods: Methods;
}

/** What the main thread calls in every I/O thread, by name over transport/port-calls.ts. */
export interface PlaneFunctions {
  snapshots(): Promise<readonly MetricsSnapshot[]>;
  /** What is not ready yet; empty: ready. */
  waitingFor(): Promise<readonly string[]>;
  /** The router is not ready any more, and takes no more connections. */
  closePort(): Promise<void>;
  /** Resolves when the router's callers have their answers, and have gone. */
  drainRouter(): Promise<void>;
  /** Ends everything; the thread then ends by itself. */
  stop(): Promise<void>;
}

export interface LeadFunctions extends PlaneFunctions {
  /** Opens all listeners. */
  start(): Promise<LeadOpened>;
  /** Tells the registry, lets calls that are under way end. */
  drainNodes(): Promise<void>;
}

export interface SideFunctions extends PlaneFunctions {
  /** Opens the same listeners. */
  start(lead: LeadOpened): Promise<void>;
}

/** What the lead calls in a side thread, besides what its nodes do. */
export const REFRESH = 'refresh';

export const ROUTER = 'router';

export function nodeIdAt(at: number): string {
  return `node-${at + 1}`;
}
