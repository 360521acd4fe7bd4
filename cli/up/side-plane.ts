// An I/O thread beside the first one: the same listeners on the same ports, a router of its own,
// and sessions of its own for inline models. All else it hands over to the first thread.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../common/clock.ts';
import { createLog, type Log } from '../../common/log.ts';
import { createMetrics, type Metrics, snapshot } from '../../common/metrics.ts';
import { busyPoll } from '../../common/tick-end.ts';
import { registryOverPort } from '../../registry/port.ts';
import { NODE_METHODS, type Router, startRouter } from '../../router/router.ts';
import { NODE_KEEPALIVE } from '../../router/upstreams.ts';
import { createSideNode, type SideNode } from '../../server/threads/side-node.ts';
import type { Backend } from '../../transport/backend.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { type CallingThread, callThread } from '../../transport/handover/calling-thread.ts';
import { callOverPort, type PortCaller, servePort } from '../../transport/port-calls.ts';
import type { OwnGrpcListener } from '../../transport/server/serve-grpc.ts';
import {
  type LeadOpened,
  nodeIdAt,
  REFRESH,
  ROUTER,
  type SideData,
  type SideFunctions,
} from './plane.ts';
import { openBeside } from './plane-listener.ts';
import { openPlaneTracing, type PlaneTracing } from './plane-tracing.ts';
import { countThread } from './thread-metrics.ts';
import { VERSION } from './version.ts';

/** Callers of nodes' own listeners, at the end: those of the router's have gone by then. */
const NODE_DRAIN_MS = 1_000;

interface Standing {
  readonly id: string;
  readonly node: SideNode;
  readonly metrics: Metrics;
}

class SidePlane implements SideFunctions {
  readonly #data: SideData;
  readonly #log: Log;
  readonly #metrics = createMetrics();
  readonly #lead: CallingThread;
  #nodes: readonly Standing[] = [];
  #tracing: PlaneTracing | undefined;
  #router: Router | undefined;
  #routerListener: OwnGrpcListener | undefined;
  readonly #nodeListeners: OwnGrpcListener[] = [];

  constructor(data: SideData) {
    this.#data = data;
    busyPoll.setBudget(data.settings.busyPollUs);
    this.#log = createLog({ level: data.settings.logLevel });
    this.#lead = callThread(data.lead.calls);
    countThread(this.#metrics, {
      name: `data-plane-${data.number}`,
      listeners: () => this.#listeners(),
      handedOver: () => this.#lead.handedOver,
    });
  }

  start = async (lead: LeadOpened): Promise<void> => {
    const { settings } = this.#data;
    this.#tracing = await openPlaneTracing(settings, this.#metrics);
    const router = this.#join(lead);
    for (const [at, { id, node, metrics }] of this.#nodes.entries()) {
      const port = lead.nodePorts[at] ?? 0;
      this.#nodeListeners.push(await this.#open(id, node.backend, port, '--node-port', metrics));
    }
    const port = lead.grpcPort;
    this.#routerListener = await this.#open(ROUTER, router.backend, port, '--grpc-port');
  };

  /**
   * In one go: the lead may have sent work for the nodes already, which waits in the port until
   * somebody listens there, and is lost if that is only who waits for answers.
   */
  #join(lead: LeadOpened): Router {
    const { functions } = this.#data.lead;
    const leadPort = callOverPort(functions);
    this.#nodes = lead.nodePorts.map((_, at) => this.#makeNode(nodeIdAt(at), leadPort, lead));
    const router = this.#startRouter(lead);
    const refresh = { [REFRESH]: () => router.refresh() };
    servePort(functions, Object.assign(refresh, ...this.#nodes.map(({ node }) => node.functions)));
    this.#router = router;
    return router;
  }

  #startRouter(lead: LeadOpened): Router {
    return startRouter({
      registry: registryOverPort(this.#data.registryPort),
      connect: (address) =>
        connectGrpc({ address, methods: NODE_METHODS, keepalive: NODE_KEEPALIVE }),
      localBackends: new Map(this.#nodes.map(({ id, node }) => [id, node.backend])),
      clock: systemClock,
      random: Math.random,
      log: this.#log.child({ role: 'router' }),
      metrics: this.#metrics,
      version: VERSION,
      tracer: this.#tracing?.router,
      lead: this.#lead.backend(ROUTER, lead.routerMethods),
    });
  }

  #makeNode(id: string, leadPort: PortCaller, { nodeMethods }: LeadOpened): Standing {
    const metrics = createMetrics();
    const node = createSideNode({
      id,
      lead: this.#lead.backend(id, nodeMethods),
      leadPort,
      clock: systemClock,
      dateMs: Date.now,
      metrics,
      tracer: this.#tracing?.node(id),
      log: this.#log.child({ role: 'node', node: id }),
    });
    return { id, node, metrics };
  }

  #open(
    name: string,
    backend: Backend,
    port: number,
    portFlag: string,
    metrics = this.#metrics,
  ): Promise<OwnGrpcListener> {
    const { settings } = this.#data;
    const log = this.#log.child(name === ROUTER ? { role: ROUTER } : { role: 'node', node: name });
    return openBeside({ settings, name, backend, port, portFlag, metrics, log });
  }

  *#listeners(): Iterable<OwnGrpcListener> {
    if (this.#routerListener !== undefined) yield this.#routerListener;
    yield* this.#nodeListeners;
  }

  snapshots = () =>
    Promise.all([this.#metrics, ...this.#nodes.map(({ metrics }) => metrics)].map(snapshot));

  waitingFor = async (): Promise<readonly string[]> =>
    (this.#router?.waitingFor() ?? ['start']).map(
      (what) => `I/O thread ${this.#data.number}: ${what}`,
    );

  closePort = async (): Promise<void> => {
    this.#router?.retire();
    this.#routerListener?.closePort();
  };

  drainRouter = async (): Promise<void> => {
    await this.#routerListener?.drain();
  };

  stop = async (): Promise<void> => {
    this.#routerListener?.stop();
    await Promise.all(this.#nodeListeners.map((listener) => listener.drain(NODE_DRAIN_MS)));
    this.#router?.stop();
    await Promise.all(this.#nodes.map(({ node }) => node.stop()));
    await this.#tracing?.close();
    this.#lead.close();
    const { registryPort, lead } = this.#data;
    for (const port of [registryPort, lead.functions]) port.close();
    // The answer to this call goes out first; then nothing keeps the thread.
    setImmediate(() => parentPort?.close());
  };
}

function serve(port: MessagePort): void {
  const plane = new SidePlane(workerData as SideData);
  const { start, snapshots, waitingFor, closePort, drainRouter, stop } = plane;
  servePort(port, { start, snapshots, waitingFor, closePort, drainRouter, stop });
}

if (parentPort !== null) serve(parentPort);
