// A cluster in one process, of the real parts: control with its leader, nodes with ONNX Runtime
// behind listeners of their own, and a router that reaches them over connections. Time is real; a
// node can be killed. The registry is the one in memory, or another: then each part has a client
// of its own, as it has in a process of its own.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Catalog } from '../../catalog/catalog.ts';
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { createMetrics } from '../../common/metrics.ts';
import { unavailable } from '../../common/status.ts';
import { startControl } from '../../control/control.ts';
import { SINGLE_PROCESS_TIMING } from '../../control/leader.ts';
import type { LeaderConfig } from '../../control/leader-state.ts';
import { startIngest } from '../../ingest/ingest.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import type { Registry } from '../../registry/registry.ts';
import { NODE_METHODS, startRouter } from '../../router/router.ts';
import { startNode } from '../../server/node.ts';
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import { openDirectoryBlobs } from '../../stores/blobs/directory.ts';
import { MemoryDatasets } from '../../stores/datasets/memory.ts';
import type { DocumentStore } from '../../stores/documents/documents.ts';
import { MemoryDocuments } from '../../stores/documents/memory.ts';
import type { Backend } from '../../transport/backend.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { LateBackend } from '../../transport/late-backend.ts';
import { serveGrpc } from '../../transport/server/serve-grpc.ts';

const HOST = '127.0.0.1';
const log = createLog({ role: 'test', level: 'silent' });

export interface WholeCluster {
  readonly registry: Registry;
  /** The router's listener, through a connection. */
  readonly front: Backend;
  importRepository(folder: string): Promise<void>;
  startNode(id: string): Promise<void>;
  /** Its connections break, and it is not heard of again. */
  kill(id: string): void;
}

export interface ClusterRegistry {
  /** A client of it, each time another one. */
  open(): Registry;
  readonly timing: LeaderConfig;
}

export interface ClusterStores {
  readonly documents: DocumentStore;
  readonly blobs: BlobStore;
}

/**
 * @param teardown takes what ends the cluster, as AVA's t.teardown does.
 * @param stores the catalog's and the artifacts', which stay their opener's to close; default: in
 *   memory and in a folder
 */
export async function wholeCluster(
  teardown: (end: () => Promise<void>) => void,
  over: ClusterRegistry = inMemory(),
  stores?: ClusterStores,
): Promise<WholeCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-cluster-'));
  teardown(() => rm(folder, { recursive: true, force: true }));
  const { documents, blobs } = stores ?? (await ownStores(teardown, folder));
  const open = (): Registry => {
    const registry = over.open();
    teardown(() => registry.close());
    return registry;
  };
  const shared = {
    catalog: new Catalog(documents),
    datasets: new MemoryDatasets(),
    ...{ blobs, log, clock: systemClock, dateMs: Date.now },
  };
  const { timing } = over;
  const control = await startControl({
    ...{ ...shared, registry: open(), id: 'c', timing, metrics: createMetrics() },
  });
  teardown(() => control.stop());
  const ingest = await startIngest({
    ...{ ...shared, registry: open(), directory: join(folder, 'ingest') },
  });
  teardown(() => ingest.stop());
  const router = startRouter({
    ...{ registry: open(), log, clock: systemClock, random: Math.random, version: '1' },
    metrics: createMetrics(),
    connect: (address) => connectGrpc({ address, methods: NODE_METHODS }),
  });
  const listener = await serveGrpc({ backend: router.backend, host: HOST, port: 0, log });
  const front = connectGrpc({ address: listener.address, methods: router.backend.methods });
  teardown(async () => {
    front.close();
    listener.stop();
    router.stop();
  });
  const deaths = new Map<string, () => void>();
  return {
    registry: open(),
    front,
    async importRepository(from) {
      const { refused } = await ingest.importRepository(from, new AbortController().signal);
      for (const { error } of refused) throw error;
    },
    async startNode(id) {
      const life = { isOver: false };
      const backend = new LateBackend(NODE_METHODS);
      const server = await serveGrpc({ backend, host: HOST, port: 0, log });
      const about = { address: server.address, zone: '', memoryLimitBytes: 0 };
      const node = await startNode({
        ...{ id, log, clock: systemClock, dateMs: Date.now, serverVersion: '1' },
        source: {
          kind: 'cluster',
          registry: mortal(open(), life),
          blobs,
          node: { ...about, incarnation: `${id}-1` },
        },
        dataDir: join(folder, id),
        metrics: createMetrics(),
        onFatal: (error) => log.error(error.message),
      });
      backend.become(node.backend);
      const kill = (): void => {
        life.isOver = true;
        server.stop();
      };
      deaths.set(id, kill);
      teardown(async () => {
        kill();
        await node.stop();
      });
    },
    kill: (id) => deaths.get(id)?.(),
  };
}

function inMemory(): ClusterRegistry {
  const registry = new MemoryRegistry(systemClock);
  return { open: () => registry, timing: SINGLE_PROCESS_TIMING };
}

async function ownStores(
  teardown: (end: () => Promise<void>) => void,
  folder: string,
): Promise<ClusterStores> {
  const blobs = await openDirectoryBlobs(join(folder, 'blobs'));
  teardown(() => blobs.close());
  return { documents: new MemoryDocuments(), blobs };
}

/** The registry as one node reaches it: once that is dead, nothing of it comes through. */
function mortal(registry: Registry, life: { readonly isOver: boolean }): Registry {
  return new Proxy(registry, {
    get(target, name: keyof Registry) {
      return (...args: never[]) => {
        if (life.isOver && name !== 'watch') return Promise.reject(unavailable('dead'));
        return (target[name] as (...all: never[]) => unknown).apply(target, args);
      };
    },
  });
}
