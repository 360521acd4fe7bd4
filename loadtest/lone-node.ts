// A node by itself on a model repository, for benches: no cluster, no router. Runs as a process of
// its own: lone-node.ts FOLDER [--transport NAME] [--cert FILE --key FILE]; prints 'listening
// PORT'; ends on SIGTERM.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { createLoadModel } from '../server/engines/load-model.ts';
import { startNode } from '../server/node.ts';
import { answerControlLines } from './servers/control-lines.ts';
import { readServerFlags } from './servers/flags.ts';
import { serveBackend } from './servers/ours.ts';

const LOOK_MS = 10;

const flags = readServerFlags();
const log = createLog({ role: 'node', level: 'warn' });
const metrics = createMetrics();
const dataDir = await mkdtemp(join(tmpdir(), 'torus-lone-node-'));
const node = await startNode({
  id: 'lone',
  source: { kind: 'repository', folder: flags.rest[0] ?? '.' },
  dataDir,
  clock: systemClock,
  dateMs: Date.now,
  log,
  metrics,
  loadModel: createLoadModel(),
  serverVersion: 'bench',
  onFatal: (error) => log.error({ err: error }, 'the node has to end'),
});
while (node.waitingFor().length > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
const listener = await serveBackend(node.backend, flags);

let said = '';
/** Where the models run: on this thread or on workers; it may change while they run. */
async function tellWays(): Promise<void> {
  const { values = [] } = (await metrics.getSingleMetric('torus_model_way')?.get()) ?? {};
  const ways = values.map(({ labels }) => `${labels.model} runs ${labels.way}`).join(', ');
  if (ways !== said) console.log(ways);
  said = ways;
}

await tellWays();
console.log(`listening ${listener.port}`);

/** The sum over all models. */
async function total(name: string): Promise<number> {
  const { values = [] } = (await metrics.getSingleMetric(name)?.get()) ?? {};
  return values.reduce((sum, { value }) => sum + value, 0);
}

answerControlLines({
  calls: () => total('nv_inference_request_success'),
  more: {
    batches: async () => {
      await tellWays();
      return [await total('nv_inference_count'), await total('nv_inference_exec_count')];
    },
  },
  stop: async () => {
    listener.stop();
    await node.stop();
    await rm(dataDir, { recursive: true, force: true });
  },
});
