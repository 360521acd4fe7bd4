// A router in front of small nodes that answer with their requests, over real connections: calls
// are passed on as bytes, or taken and sent as whole messages.
import './poison-reads.ts';
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { createMetrics } from '../../common/metrics.ts';
import type { StatusError } from '../../common/status.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import type { ControlHooks } from '../../router/cluster-service.ts';
import { HEALTH_CHECK } from '../../router/probes.ts';
import { NODE_METHODS, startRouter } from '../../router/router.ts';
import {
  type Backend,
  type Metadata,
  NO_METADATA,
  type UnaryCall,
} from '../../transport/backend.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { serveGrpc } from '../../transport/server/serve-grpc.ts';
import { assign, copy, entry, node, until } from './small-cluster.ts';

const log = createLog({ role: 'test', level: 'silent' });
export const FOREVER_MS = 1e9;

/** Answers with its request, and its id as a trailer, or as it is told to. */
export async function startEchoNode(id: string) {
  const hanging = Promise.withResolvers<UnaryCall>();
  let hangs = false;
  let failure: StatusError | undefined;
  let metadata: Metadata = NO_METADATA;
  let calls = 0;
  const backend: Backend = {
    methods: NODE_METHODS,
    unary: (call) => {
      if (call.path === HEALTH_CHECK) return call.succeed(new Uint8Array(0));
      calls += 1;
      metadata = call.metadata;
      if (hangs) hanging.resolve(call);
      else if (failure !== undefined) call.fail(failure);
      else call.succeed(Uint8Array.from(call.request), [['x-node', id]]);
    },
    stream: () => {},
  };
  const server = await serveGrpc({ backend, host: '127.0.0.1', port: 0, log });
  return {
    id,
    address: server.address,
    stop: server.stop,
    /** The first call that is left without an answer. */
    hanging: hanging.promise,
    hang: (): void => {
      hangs = true;
    },
    fail: (error: StatusError): void => {
      failure = error;
    },
    /** That were whole when they came to the handler. */
    calls: () => calls,
    openCalls: () => server.held.calls,
    answerBytes: () => server.held.answerBytes,
    lastMetadata: () => metadata,
  };
}

export interface ClusterWishes {
  readonly isPassing: boolean;
  readonly control?: ControlHooks;
  /** Nodes of another make, beside those that answer with their requests. */
  readonly others?: readonly { readonly id: string; readonly address: string }[];
  /** Of the model; true by default. */
  readonly isIdempotent?: boolean;
  /** Likewise; false by default. */
  readonly isHedged?: boolean;
}

export async function startEchoCluster(ids: readonly string[], wishes: ClusterWishes) {
  const { isPassing, control, others = [], isIdempotent = true, isHedged = false } = wishes;
  const registry = new MemoryRegistry(systemClock);
  const nodes = await Promise.all(ids.map(startEchoNode));
  await assign(registry, [entry('m', 1, { isIdempotent, isHedged })]);
  for (const { id, address } of [...nodes, ...others]) {
    await registry.putNode(node(id, { address }), [copy('m', 1)], FOREVER_MS);
  }
  const metrics = createMetrics();
  const router = startRouter({
    registry,
    clock: systemClock,
    random: Math.random,
    log,
    metrics,
    version: '1',
    connect: (address) => connectGrpc({ address, methods: NODE_METHODS }),
    ...(control === undefined ? {} : { control }),
  });
  const front = await serveGrpc({
    backend: router.backend,
    ...(router.raw && isPassing && { raw: router.raw }),
    host: '127.0.0.1',
    port: 0,
    log,
  });
  const client = connectGrpc({ address: front.address, methods: router.backend.methods });
  await until('ready', () => router.waitingFor().length === 0);
  const stop = async (): Promise<void> => {
    client.close();
    front.stop();
    router.stop();
    for (const one of nodes) one.stop();
    await registry.close();
  };
  return {
    registry,
    nodes,
    client,
    stop,
    address: front.address,
    metrics,
    /** Bytes of requests that the router holds. */
    held: () => router.raw?.heldBytes ?? 0,
    /** What its listener holds: bytes that came and may not go on, answers not yet taken. */
    front: () => front.held,
  };
}
