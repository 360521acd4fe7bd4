// The data plane's thread: the router and the nodes of this process. It shares no event loop with
// what parses files or waits for disks, so a prediction never waits for an import.
import { join } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../common/clock.ts';
import { createLog, type Log } from '../../common/log.ts';
import { collectLoopLag, createMetrics, type Metrics, snapshot } from '../../common/metrics.ts';
import { failedPrecondition } from '../../common/status.ts';
import { HealthDefinition } from '../../proto/gen/grpc/health/v1/health.ts';
import { GRPCInferenceServiceDefinition } from '../../proto/gen/inference/grpc_service.ts';
import { registryOverPort } from '../../registry/port.ts';
import { NODE_METHODS, type Router, startRouter } from '../../router/router.ts';
import { NODE_KEEPALIVE } from '../../router/upstreams.ts';
import { createLoadModel } from '../../server/engines/load-model.ts';
import type { LoadModel } from '../../server/loaded-model.ts';
import { type InferenceNode, startNode } from '../../server/node.ts';
import { readDirectoryBlobs } from '../../stores/blobs/directory.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { LateBackend, pathsOf } from '../../transport/late-backend.ts';
import { callOverPort, servePort } from '../../transport/port-calls.ts';
import { listenerMetrics } from '../../transport/server/listener-metrics.ts';
import { type OwnGrpcListener, serveGrpc } from '../../transport/server/serve-grpc.ts';
import { mergeBackends } from '../../transport/service.ts';
import { readDescriptors } from '../../transport/services/descriptors.ts';
import { healthService } from '../../transport/services/health.ts';
import { REFLECTION_PATHS, withReflection } from '../../transport/services/reflection.ts';
import type { PlaneAddresses, PlaneData, PlaneFunctions } from './plane.ts';
import { VERSION } from './version.ts';

interface RunningNode {
  readonly node: InferenceNode;
  readonly listener: OwnGrpcListener;
  /** Of its own: two nodes have metrics of the same names, told apart by a label. */
  readonly metrics: Metrics;
}

const NODE_PATHS = new Map([
  ...pathsOf([GRPCInferenceServiceDefinition, HealthDefinition]),
  ...REFLECTION_PATHS.map((path) => [path, 'bidi_stream'] as const),
]);

class DataPlane implements PlaneFunctions {
  readonly #data: PlaneData;
  readonly #log: Log;
  readonly #metrics = createMetrics();
  readonly #loadModel: LoadModel;
  readonly #nodes = new Map<string, RunningNode>();
  #router: Router | undefined;
  #listener: OwnGrpcListener | undefined;

  constructor(data: PlaneData) {
    this.#data = data;
    this.#log = createLog({ level: data.settings.logLevel });
    this.#loadModel = createLoadModel(undefined, { execution: data.settings.execution });
    collectLoopLag(this.#metrics, 'data-plane');
  }

  async start(): Promise<PlaneAddresses> {
    const { settings, registryPorts } = this.#data;
    for (let at = 0; at < settings.nodes; at += 1) {
      await this.#startNode(`node-${at + 1}`, at, registryPorts[at + 1]);
    }
    const control = callOverPort(this.#data.controlPort);
    this.#router = startRouter({
      registry: registryOverPort(portOf(registryPorts[0])),
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
    });
    const counts = listenerMetrics(this.#metrics, 'router');
    this.#listener = await serveGrpc({
      backend: this.#router.backend,
      onLimit: counts.onLimit,
      host: settings.host,
      port: settings.grpcPort,
      portFlag: '--grpc-port',
      isInsecure: settings.isInsecure,
      log: this.#log.child({ role: 'router' }),
    });
    counts.watch(this.#listener);
    const nodePorts = [...this.#nodes.values()].map(({ listener }) => listener.port);
    return { grpcPort: this.#listener.port, nodePorts };
  }

  async #startNode(id: string, at: number, port: MessagePort | undefined): Promise<void> {
    const { settings, blobsDir, nodesDir, startId } = this.#data;
    const log = this.#log.child({ role: 'node', node: id });
    const metrics = createMetrics();
    const late = new LateBackend(NODE_PATHS);
    const counts = listenerMetrics(metrics, id);
    const listener = await serveGrpc({
      backend: late,
      onLimit: counts.onLimit,
      host: settings.host,
      port: settings.nodePort === 0 ? 0 : settings.nodePort + at,
      portFlag: '--node-port',
      isInsecure: settings.isInsecure,
      log,
    });
    counts.watch(listener);
    const node = await startNode({
      id,
      source: {
        kind: 'cluster',
        registry: registryOverPort(portOf(port)),
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
      serverVersion: VERSION,
      onFatal: (error) => parentPort?.postMessage({ fatal: error.message }),
    });
    const whole = mergeBackends([node.backend, healthService(node.health, log)]);
    late.become(withReflection(whole, readDescriptors(), log));
    this.#nodes.set(id, { node, listener, metrics });
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

  drain = async (): Promise<void> => {
    this.#router?.retire();
    await this.#listener?.drain();
    await Promise.all([...this.#nodes.values()].map(({ node }) => node.drain()));
  };

  stop = async (): Promise<void> => {
    this.#listener?.stop();
    this.#router?.stop();
    for (const { node, listener } of this.#nodes.values()) {
      listener.stop();
      await node.stop();
    }
    for (const port of [...this.#data.registryPorts, this.#data.controlPort]) port.close();
    // The answer to this call goes out first; then nothing keeps the thread.
    setImmediate(() => parentPort?.close());
  };
}

function portOf(port: MessagePort | undefined): MessagePort {
  if (port === undefined) throw failedPrecondition('the data plane got too few registry ports');
  return port;
}

if (parentPort !== null) {
  const plane = new DataPlane(workerData as PlaneData);
  servePort(parentPort, {
    start: () => plane.start(),
    snapshots: plane.snapshots,
    waitingFor: plane.waitingFor,
    drain: plane.drain,
    stop: plane.stop,
  });
}
