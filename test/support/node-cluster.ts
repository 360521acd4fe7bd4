// A router in front of real nodes with models of their own, over sockets or in one process, and a
// client that knows nothing of our code.
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { createMetrics } from '../../common/metrics.ts';
import type { CallTracer } from '../../common/tracing/call-tracer.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import { NODE_METHODS, startRouter } from '../../router/router.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { serveGrpc } from '../../transport/server/serve-grpc.ts';
import { FOREVER_MS } from './echo-cluster.ts';
import { type Lone, start } from './lone-node.ts';
import { outsideClient } from './outside-client.ts';
import { assign, copy, entry, node, until } from './small-cluster.ts';

const log = createLog({ role: 'test', level: 'silent' });

/** Files of a model repository, by path: '<model>/<version>/model.onnx'. */
export type Files = Record<string, Uint8Array | string>;

export interface ServedNode extends Lone {
  readonly id: string;
  /** Calls that its listener has open. */
  openCalls(): number;
  /** Of requests that came and of answers that were not taken. */
  heldBytes(): number;
  /** Its connections break. */
  kill(): void;
}

/** Who records calls. */
export interface Tracers {
  readonly router: CallTracer | undefined;
  node(id: string): CallTracer | undefined;
}

const UNRECORDED: Tracers = { router: undefined, node: () => undefined };

async function serveNode(id: string, files: Files, tracer: CallTracer | undefined) {
  const lone = await start(files, { tracer });
  const listener = await serveGrpc({ backend: lone.node.backend, host: '127.0.0.1', port: 0, log });
  const copies = Object.keys(files).flatMap((path) => {
    const [model = '', version = '', file] = path.split('/');
    return file === 'model.onnx' ? [{ model, version: Number(version) }] : [];
  });
  const served: ServedNode = {
    ...lone,
    id,
    openCalls: () => listener.held.calls,
    heldBytes: () => listener.held.answerBytes + listener.held.requestBytes,
    kill: () => listener.stop(),
    end: async () => {
      listener.stop();
      await lone.end();
    },
  };
  return { served, copies, address: listener.address };
}

/**
 * @param nodes the files of each node, by its id
 * @param isLocal the nodes are in the router's process: no socket is between
 */
export async function startNodeCluster(
  nodes: Record<string, Files>,
  isLocal = false,
  tracers = UNRECORDED,
) {
  const registry = new MemoryRegistry(systemClock);
  const started = await Promise.all(
    Object.entries(nodes).map(([id, files]) => serveNode(id, files, tracers.node(id))),
  );
  const known = new Map(
    started.flatMap(({ copies }) =>
      copies.map(({ model, version }) => [`${model}/${version}`, entry(model, version)] as const),
    ),
  );
  await assign(registry, [...known.values()]);
  for (const { served, copies, address } of started) {
    const ready = copies.map(({ model, version }) => copy(model, version));
    await registry.putNode(node(served.id, { address }), ready, FOREVER_MS);
  }
  const metrics = createMetrics();
  const router = startRouter({
    ...{ registry, clock: systemClock, random: Math.random, log, metrics, version: '1' },
    tracer: tracers.router,
    connect: (address) => connectGrpc({ address, methods: NODE_METHODS }),
    ...(isLocal && {
      localBackends: new Map(started.map(({ served }) => [served.id, served.node.backend])),
    }),
  });
  const front = await serveGrpc({
    backend: router.backend,
    ...(router.raw && { raw: router.raw }),
    ...{ host: '127.0.0.1', port: 0, log },
  });
  await until('ready', () => router.waitingFor().length === 0);
  const client = outsideClient(front.address);
  return {
    registry,
    client,
    metrics,
    address: front.address,
    nodes: started.map(({ served }) => served),
    /** Bytes of requests that the router holds. */
    held: () => router.raw?.heldBytes ?? 0,
    openCalls: () => front.held.calls,
    async stop(): Promise<void> {
      client.close();
      front.stop();
      router.stop();
      for (const { served } of started) await served.end();
      await registry.close();
    },
  };
}
