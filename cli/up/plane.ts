// What the main thread and the data plane's thread tell each other.
import type { MessagePort } from 'node:worker_threads';
import type { MetricsSnapshot } from '../../common/metrics.ts';
import type { UpSettings } from './settings.ts';

/** Given to the thread when it starts. */
export interface PlaneData {
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
}

export interface PlaneAddresses {
  readonly grpcPort: number;
  readonly nodePorts: readonly number[];
}

/** What the main thread calls in the thread, by name over transport/port-calls.ts. */
export interface PlaneFunctions {
  /** Opens all listeners. */
  start(): Promise<PlaneAddresses>;
  snapshots(): Promise<readonly MetricsSnapshot[]>;
  /** What is not ready yet; empty: ready. */
  waitingFor(): Promise<readonly string[]>;
  /** Lets calls that are under way end, tells the registry. */
  drain(): Promise<void>;
  /** Ends everything; the thread then ends by itself. */
  stop(): Promise<void>;
}
