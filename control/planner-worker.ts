// The thread that makes plans, started by planner-thread.ts. It reads registry and catalog over
// connections of its own; shards are written by the thread that keeps the lease.
import { parentPort, workerData } from 'node:worker_threads';
import { Catalog } from '../catalog/catalog.ts';
import { systemClock as clock } from '../common/clock.ts';
import { createLog, type LogLevel } from '../common/log.ts';
import { openRegistry } from '../registry/open.ts';
import { openDocuments } from '../stores/documents/open.ts';
import { callOverPort, servePort } from '../transport/port-calls.ts';
import { Planner, type PlanRequest, type PutOutcome } from './planner.ts';
import type { PlannerData, Told } from './planner-thread.ts';

const port = parentPort;
if (port === null) throw new Error('planner-worker.ts runs as a worker thread');
const data: PlannerData = workerData;
const log = createLog({ level: data.logLevel as LogLevel }).child({ role: 'control' });
const registry = openRegistry(data.registry, { clock, log });
const documents = await openDocuments(data.catalog, { mayBeAway: true });
const catalog = new Catalog(documents);
const leader = callOverPort(port);
const planner = new Planner({
  ...{ catalog, registry, log, nowMs: () => clock.nowMs() },
  holdsMassRemovals: data.holdsMassRemovals,
  put: async (shard, step) => (await leader.call('put', shard, step)) as PutOutcome,
  onReport: (report) => port.postMessage({ report }),
});
// What it writes itself: versions in quarantine.
catalog.onChange((kind, key) => planner.told(kind, key));

servePort(port, {
  run: (request: PlanRequest) => planner.run(request),
  async stop() {
    await registry.close();
    await documents.close();
  },
});
port.on('message', ({ told }: Partial<Told>) => {
  if (told !== undefined) planner.told(...told);
});
