// The data plane's first I/O thread: the router and the nodes of this process. It shares no event
// loop with what parses files or waits for disks, so a prediction never waits for an import. Where
// there are more I/O threads (side-plane.ts) it leads them.
import { join } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../common/clock.ts';
import { createLog, type Log } from '../../common/log.ts';
import { createMetrics, type Metrics, snapshot } from '../../common/metrics.ts';
import { failedPrecondition } from '../../common/status.ts';
import { busyPoll } from '../../common/tick-end.ts';
import { registryOverPort } from '../../registry/port.ts';
import { NODE_METHODS, type Router, startRouter } from '../../router/router.ts';
import { NODE_KEEPALIVE } from '../../router/upstreams.ts';
import { createLoadModel } from '../../server/engines/load-model.ts';
import type { LoadModel } from '../../server/loaded-model.ts';
import { type InferenceNode, startNode } from '../../server/node.ts';
import { SideThreads } from '../../server/threads/side-threads.ts';
import { readDirectoryBlobs } from '../../stores/blobs/directory.ts';
import type { Backend } from '../../transport/backend.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { serveThread } from '../../transport/handover/called-thread.ts';
import { LateBackend } from '../../transport/late-backend.ts';
import { callOverPort, type PortCaller, servePort } from '../../transport/port-calls.ts';
import type { OwnGrpcListener } from '../../transport/server/serve-grpc.ts';
import { mergeBackends } from '../../transport/service.ts';
import { readDescriptors } from '../../transport/services/descriptors.ts';
import { healthService } from '../../transport/services/health.ts';
import { withReflection } from '../../transport/services/reflection.ts';
import { NODE_PATHS } from './node-paths.ts';
import {
  type LeadData,
  type LeadFunctions,
  type LeadOpened,
  nodeIdAt,
  REFRESH,
  ROUTER,
} from './plane.ts';
import { openFirst } from './plane-listener.ts';
import { openPlaneTracing, type PlaneTracing } from './plane-tracing.ts';
import { countThread } from './thread-metrics.ts';
import { VERSION } from './version.ts';

interface RunningNode {
  readonly node: InferenceNode;
  /** With health and reflection. */
  readonly whole: Backend;
  readonly listener: OwnGrpcListener;
  /** Of its own: two nodes have metrics of the same names, told apart by a label. */
  readonly metrics: Metrics;
}

class DataPlane implements LeadFunctions {
  readonly #data: LeadData;
  readonly #log: Log;
  readonly #metrics = createMetrics();
  readonly #loadModel: LoadModel;
  readonly #nodes = new Map<string, RunningNode>();
  /** Where the side threads' functions are called. */
  readonly #sides: readonly PortCaller[];
  #tracing: PlaneTracing | undefined;
  #router: Router | undefined;
  #listener: OwnGrpcListener | undefined;

  constructor(data: LeadData) {
    this.#data = data;
    busyPoll.setBudget(data.settings.busyPollUs);
    this.#log = createLog({ level: data.settings.logLevel });
    this.#loadModel = createLoadModel(undefined, { execution: data.settings.execution });
    this.#sides = data.sides.map(({ functions }) => callOverPort(functions));
    countThread(this.#metrics, {
      name: 'data-plane',
      listeners: () => this.#listeners(),
      handedOver: () => 0,
    });
  }

  start = async (): Promise<LeadOpened> => {
    const { settings } = this.#data;
    this.#tracing = await openPlaneTracing(settings, this.#metrics);
    const sideThreads = new Map<string, SideThreads>();
    for (let at = 0; at < settings.nodes && this.#sides.length > 0; at += 1) {
      const id = nodeIdAt(at);
      const log = this.#log.child({ role: 'node', node: id });
      sideThreads.set(id, new SideThreads({ id, threads: this.#sides, log }));
    }
    const forSides = Object.assign({}, ...[...sideThreads.values()].map((one) => one.functions));
    for (const { functions } of this.#data.sides) servePort(functions, forSides);
    for (let at = 0; at < settings.nodes; at += 1) {
      await this.#startNode(at, sideThreads.get(nodeIdAt(at)));
    }
    const router = this.#startRouter();
    this.#router = router;
    const { backend } = router;
    const port = settings.grpcPort;
    const log = this.#log.child({ role: 'router' });
    const metrics = this.#metrics;
    this.#listener = await openFirst({
      ...{ settings, backend, port, metrics, log, name: ROUTER, portFlag: '--grpc-port' },
    });
    const nodes = [...this.#nodes].map(([id, { whole }]) => [id, whole] as const);
    for (const { calls } of this.#data.sides) {
      serveThread(calls, new Map([[ROUTER, backend], ...nodes]));
    }
    serveThread(this.#data.callsPort, new Map([[ROUTER, backend]]));
    return {
      grpcPort: this.#listener.port,
      nodePorts: [...this.#nodes.values()].map(({ listener }) => listener.port),
      routerMethods: backend.methods,
      nodeMethods: nodes[0]?.[1].methods ?? new Map(),
    };
  };

  #startRouter(): Router {
    const control = callOverPort(this.#data.controlPort);
    return startRouter({
      registry: registryOverPort(portOf(this.#data.registryPorts[0])),
      connect: (address) =>
        connectGrpc({ address, methods: NODE_METHODS, keepalive: NODE_KEEPALIVE }),
      localBackends: new Map([...this.#nodes].map(([id, { node }]) => [id, node.backend])),
      clock: systemClock,
      random: Math.random,
      log: this.#log.child({ role: 'router' }),
      metrics: this.#metrics,
      control: {
        loadModel: async (model) => void (await control.call('loadModel', model)),
        unloadModel: async (model) => void (await control.call('unloadModel', model)),
      },
      version: VERSION,
      tracer: this.#tracing?.router,
      othersRefreshed: async () => {
        await Promise.allSettled(this.#sides.map((side) => side.call(REFRESH)));
      },
    });
  }

  async #startNode(at: number, sideThreads: SideThreads | undefined): Promise<void> {
    const { settings, blobsDir, nodesDir, startId, registryPorts } = this.#data;
    const id = nodeIdAt(at);
    const log = this.#log.child({ role: 'node', node: id });
    const metrics = createMetrics();
    const late = new LateBackend(NODE_PATHS);
    const port = settings.nodePort === 0 ? 0 : settings.nodePort + at;
    const listener = await openFirst({
      ...{ settings, port, metrics, log, name: id, backend: late, portFlag: '--node-port' },
    });
    const node = await startNode({
      id,
      source: {
        kind: 'cluster',
        registry: registryOverPort(portOf(registryPorts[at + 1])),
        blobs: readDirectoryBlobs(blobsDir),
        node: {
          incarnation: `${startId}-${id}`,
          address: listener.address,
          zone: '',
          memoryLimitBytes: 0,
        },
      },
      dataDir: join(nodesDir, id),
      clock: systemClock,
      dateMs: Date.now,
      log,
      metrics,
      loadModel: this.#loadModel,
      ...(sideThreads && { sideThreads }),
      serverVersion: VERSION,
      tracer: this.#tracing?.node(id),
      onFatal: (error) => parentPort?.postMessage({ fatal: error.message }),
    });
    const whole = mergeBackends([node.backend, healthService(node.health, log)]);
    const reflecting = withReflection(whole, readDescriptors(), log);
    late.become(reflecting);
    this.#nodes.set(id, { node, whole: reflecting, listener, metrics });
  }

  *#listeners(): Iterable<OwnGrpcListener> {
    if (this.#listener !== undefined) yield this.#listener;
    for (const { listener } of this.#nodes.values()) yield listener;
  }

  snapshots = () => {
    const nodes = [...this.#nodes.values()].map(({ metrics }) => metrics);
    return Promise.all([this.#metrics, ...nodes].map(snapshot));
  };

  waitingFor = async (): Promise<readonly string[]> => [
    ...(this.#router?.waitingFor() ?? ['start']).map((what) => `router: ${what}`),
    ...[...this.#nodes].flatMap(([id, { node }]) =>
      node.waitingFor().map((what) => `${id}: ${what}`),
    ),
  ];

  closePort = async (): Promise<void> => {
    this.#router?.retire();
    this.#listener?.closePort();
  };

  drainRouter = async (): Promise<void> => {
    await this.#listener?.drain();
  };

  drainNodes = async (): Promise<void> => {
    await Promise.all([...this.#nodes.values()].map(({ node }) => node.drain()));
  };

  stop = async (): Promise<void> => {
    this.#listener?.stop();
    this.#router?.stop();
    for (const { node, listener } of this.#nodes.values()) {
      listener.stop();
      await node.stop();
    }
    await this.#tracing?.close();
    const { registryPorts, controlPort, callsPort, sides } = this.#data;
    const sidePorts = sides.flatMap(({ calls, functions }) => [calls, functions]);
    for (const port of [...registryPorts, controlPort, callsPort, ...sidePorts]) port.close();
    // The answer to this call goes out first; then nothing keeps the thread.
    setImmediate(() => parentPort?.close());
  };
}

function portOf(port: MessagePort | undefined): MessagePort {
  if (port === undefined) throw failedPrecondition('the data plane got too few registry ports');
  return port;
}

if (parentPort !== null) {
  const plane = new DataPlane(workerData as LeadData);
  const { start, snapshots, waitingFor, closePort, drainRouter, drainNodes, stop } = plane;
  const functions = { start, snapshots, waitingFor, closePort, drainRouter, drainNodes, stop };
  servePort(parentPort, functions);
}
