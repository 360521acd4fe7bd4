// The main thread's hold on the I/O threads of the data plane: starts them, gives them their ports,
// calls them, and ends them in order. From outside they are one.
import { randomBytes } from 'node:crypto';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { MetricsSnapshot } from '../../common/metrics.ts';
import { unavailable } from '../../common/status.ts';
import { serveRegistry } from '../../registry/port.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Backend } from '../../transport/backend.ts';
import { callThread } from '../../transport/handover/calling-thread.ts';
import {
  callOverPort,
  type PortCaller,
  type PortFunctions,
  servePort,
} from '../../transport/port-calls.ts';
import {
  type LeadData,
  type LeadFunctions,
  type LeadOpened,
  type Methods,
  type PlaneAddresses,
  ROUTER,
  type SideData,
  type SideFunctions,
  type SidePorts,
} from './plane.ts';
import type { UpSettings } from './settings.ts';

export interface PlaneThreadOptions {
  readonly settings: UpSettings;
  readonly registry: Registry;
  readonly folders: { readonly blobs: string; readonly nodes: string };
  /** Called by the router for RepositoryModelLoad and RepositoryModelUnload. */
  readonly control: PortFunctions;
  /** A thread can't go on (a hung model, an error nobody caught): the process is to end. */
  readonly onFatal: (error: Error) => void;
}

export interface PlaneThread {
  /** Opens all listeners. */
  start(): Promise<PlaneAddresses>;
  /** The router, as the gateway of this process calls it. */
  router(methods: Methods): Backend;
  snapshots(): Promise<readonly MetricsSnapshot[]>;
  /** What is not ready yet; empty: ready. */
  waitingFor(): Promise<readonly string[]>;
  /** Lets calls that are under way end, tells the registry. */
  drain(): Promise<void>;
  /** Ends everything; the threads then end by themselves. */
  stop(): Promise<void>;
  /** Resolves when all threads have ended. */
  readonly ended: Promise<unknown>;
}

export function startPlaneThread(options: PlaneThreadOptions): PlaneThread {
  const { ioThreads } = options.settings;
  const pairs = Array.from({ length: ioThreads - 1 }, () => sideChannel());
  const gateway = new MessageChannel();
  const calling = callThread(gateway.port1);
  const lead = startLead(
    options,
    gateway.port2,
    pairs.map(({ lead }) => lead),
  );
  const sides = pairs.map(({ side }, at) => startSide(options, side, at + 2));
  const all = [lead, ...sides];
  return {
    ended: Promise.all(all.map(({ ended }) => ended)),
    router: (methods) => calling.backend(ROUTER, methods),
    async start() {
      const opened = await lead.start();
      await Promise.all(sides.map((side) => side.start(opened)));
      return opened;
    },
    async snapshots() {
      const told = await Promise.allSettled(all.map((thread) => thread.snapshots()));
      return told.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    },
    async waitingFor() {
      return (await Promise.all(all.map((thread) => thread.waitingFor()))).flat();
    },
    async drain() {
      // First of all threads: those who are told to go must not find another one's port open, which
      // closes in the next moment and takes along whom it has not accepted yet.
      await Promise.allSettled(all.map((thread) => thread.closePort()));
      // What side threads have taken may have to be answered by the lead's nodes.
      await Promise.allSettled(all.map((thread) => thread.drainRouter()));
      await lead.drainNodes();
    },
    async stop() {
      for (const thread of all) thread.mayEnd();
      calling.close();
      await Promise.allSettled(sides.map((side) => side.stop()));
      await lead.stop();
    },
  };
}

interface Thread {
  readonly ended: Promise<void>;
  /** From now on its end is no fault. */
  mayEnd(): void;
}

function sideChannel(): { readonly lead: SidePorts; readonly side: SidePorts } {
  const [calls, functions] = [new MessageChannel(), new MessageChannel()];
  return {
    lead: { calls: calls.port1, functions: functions.port1 },
    side: { calls: calls.port2, functions: functions.port2 },
  };
}

function registryPort({ registry }: PlaneThreadOptions): MessagePort {
  const { port1, port2 } = new MessageChannel();
  serveRegistry(registry, port1);
  return port2;
}

function startLead(
  options: PlaneThreadOptions,
  callsPort: MessagePort,
  sides: readonly SidePorts[],
): LeadFunctions & Thread {
  const { settings, folders } = options;
  const control = new MessageChannel();
  servePort(control.port1, options.control);
  control.port1.unref();
  // One for the router, one for each node.
  const registryPorts = Array.from({ length: settings.nodes + 1 }, () => registryPort(options));
  const data: LeadData = {
    settings,
    blobsDir: folders.blobs,
    nodesDir: folders.nodes,
    startId: randomBytes(8).toString('hex'),
    registryPorts,
    controlPort: control.port2,
    callsPort,
    sides,
  };
  const sidePorts = sides.flatMap(({ calls, functions }) => [calls, functions]);
  const ports = [...registryPorts, control.port2, callsPort, ...sidePorts];
  const { call, ...thread } = startThread('data-plane', data, ports, options.onFatal);
  return {
    ...thread,
    ...commonFunctions(call),
    start: async () => (await call('start')) as LeadOpened,
    drainNodes: async () => void (await call('drainNodes')),
  };
}

function startSide(
  options: PlaneThreadOptions,
  lead: SidePorts,
  number: number,
): SideFunctions & Thread {
  const port = registryPort(options);
  const data: SideData = { settings: options.settings, number, registryPort: port, lead };
  const ports = [port, lead.calls, lead.functions];
  const { call, ...thread } = startThread('side-plane', data, ports, options.onFatal);
  return {
    ...thread,
    ...commonFunctions(call),
    start: async (opened) => void (await call('start', opened)),
  };
}

function commonFunctions(call: PortCaller['call']) {
  return {
    snapshots: async () => (await call('snapshots')) as readonly MetricsSnapshot[],
    waitingFor: async () => (await call('waitingFor')) as readonly string[],
    closePort: async () => void (await call('closePort')),
    drainRouter: async () => void (await call('drainRouter')),
    stop: async () => void (await call('stop')),
  };
}

const PROGRAMS = {
  'data-plane': new URL('./data-plane.ts', import.meta.url),
  'side-plane': new URL('./side-plane.ts', import.meta.url),
};

function startThread(
  program: keyof typeof PROGRAMS,
  workerData: LeadData | SideData,
  transferList: readonly MessagePort[],
  onFatal: (error: Error) => void,
): Thread & PortCaller {
  const worker = new Worker(PROGRAMS[program], { workerData, transferList: [...transferList] });
  let mayEnd = false;
  let hasFailed = false;
  const fail = (error: Error): void => {
    hasFailed = true;
    onFatal(error);
  };
  worker.on('error', fail);
  worker.on('message', (message: { fatal?: string }) => {
    if (message.fatal !== undefined) fail(unavailable(message.fatal));
  });
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', (code) => {
      if (!mayEnd && !hasFailed) fail(unavailable(`an I/O thread has ended with code ${code}`));
      resolve();
    });
  });
  const { call } = callOverPort(worker);
  return {
    ended,
    call,
    mayEnd: () => {
      mayEnd = true;
    },
  };
}
