// The main thread's hold on the data plane's thread: starts it, gives it its ports, calls it.
import { randomBytes } from 'node:crypto';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { MetricsSnapshot } from '../../common/metrics.ts';
import { unavailable } from '../../common/status.ts';
import { serveRegistry } from '../../registry/port.ts';
import type { Registry } from '../../registry/registry.ts';
import { callOverPort, type PortFunctions, servePort } from '../../transport/port-calls.ts';
import type { PlaneAddresses, PlaneData, PlaneFunctions } from './plane.ts';
import type { UpSettings } from './settings.ts';

export interface PlaneThreadOptions {
  readonly settings: UpSettings;
  readonly registry: Registry;
  readonly folders: { readonly blobs: string; readonly nodes: string };
  /** Called by the router for RepositoryModelLoad and RepositoryModelUnload. */
  readonly control: PortFunctions;
  /** The thread can't go on (a hung model, an error nobody caught): the process is to end. */
  readonly onFatal: (error: Error) => void;
}

export interface PlaneThread extends PlaneFunctions {
  /** Resolves when the thread has ended. */
  readonly ended: Promise<void>;
}

export function startPlaneThread(options: PlaneThreadOptions): PlaneThread {
  // One for the router, one for each node.
  const channels = Array.from({ length: options.settings.nodes + 1 }, () => new MessageChannel());
  for (const { port1 } of channels) serveRegistry(options.registry, port1);
  const control = new MessageChannel();
  servePort(control.port1, options.control);
  control.port1.unref();
  const registryPorts = channels.map(({ port2 }) => port2);
  const workerData: PlaneData = {
    settings: options.settings,
    blobsDir: options.folders.blobs,
    nodesDir: options.folders.nodes,
    startId: randomBytes(8).toString('hex'),
    registryPorts,
    controlPort: control.port2,
  };
  const worker = new Worker(new URL('./data-plane.ts', import.meta.url), {
    workerData,
    transferList: [...registryPorts, control.port2],
  });
  worker.on('error', options.onFatal);
  worker.on('message', (message: { fatal?: string }) => {
    if (message.fatal !== undefined) options.onFatal(unavailable(message.fatal));
  });
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const { call } = callOverPort(worker);
  return {
    ended,
    start: async () => (await call('start')) as PlaneAddresses,
    snapshots: async () => (await call('snapshots')) as readonly MetricsSnapshot[],
    waitingFor: async () => (await call('waitingFor')) as readonly string[],
    drain: async () => void (await call('drain')),
    stop: async () => void (await call('stop')),
  };
}
