// A node by itself on a model repository, for benches: no cluster, no router. Runs as a process of
// its own: lone-node.ts FOLDER; prints 'listening PORT'; ends on SIGTERM.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { createLoadModel } from '../server/engines/load-model.ts';
import { startNode } from '../server/node.ts';
import { serveGrpc } from '../transport/grpcjs/server.ts';

const LOOK_MS = 10;

const log = createLog({ role: 'node', level: 'warn' });
const dataDir = await mkdtemp(join(tmpdir(), 'torus-lone-node-'));
const node = await startNode({
  id: 'lone',
  source: { kind: 'repository', folder: process.argv[2] ?? '.' },
  dataDir,
  clock: systemClock,
  dateMs: Date.now,
  log,
  metrics: createMetrics(),
  loadModel: createLoadModel(),
  serverVersion: 'bench',
  onFatal: (error) => log.error({ err: error }, 'the node has to end'),
});
while (node.waitingFor().length > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
const listener = await serveGrpc({ backend: node.backend, host: '127.0.0.1', port: 0, log });
console.log(`listening ${listener.port}`);
process.once('SIGTERM', async () => {
  listener.stop();
  await node.stop();
  await rm(dataDir, { recursive: true, force: true });
});
