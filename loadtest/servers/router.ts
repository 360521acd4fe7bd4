// A router by itself in front of given nodes, for benches: they are said to hold one model, and
// never leave. Runs as a process of its own: router.ts MODEL PORT PORT... [--transport NAME];
// prints 'listening PORT'.
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { createMetrics } from '../../common/metrics.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import { ASSIGNMENT_SHARDS, REGISTRY_SCHEMA, type Registry } from '../../registry/registry.ts';
import { NODE_METHODS, startRouter } from '../../router/router.ts';
import { answerControlLines } from './control-lines.ts';
import { readServerFlags } from './flags.ts';
import { connectNode, serveBackend } from './ours.ts';

const FOREVER_MS = 1e9;
const LOOK_MS = 10;
const MANIFEST = '0'.repeat(64);

async function fill(registry: Registry, model: string, ports: readonly string[]): Promise<void> {
  const version = { model, version: 1, manifestSha256: MANIFEST, reason: '' };
  const nodes = ports.map((_, at) => `node-${at}`);
  const entry = { ...version, nodes, weight: 1, isIdempotent: true };
  for (let index = 0; index < ASSIGNMENT_SHARDS; index += 1) {
    const entries = index === 0 ? [entry] : [];
    await registry.putShard({ schema: REGISTRY_SCHEMA, index, epoch: 1, revision: 1, entries });
  }
  for (const [at, port] of ports.entries()) {
    const record = {
      schema: REGISTRY_SCHEMA,
      id: nodes[at] ?? '',
      incarnation: '1',
      address: `127.0.0.1:${port}`,
      state: 'SERVING',
      zone: '',
      memoryLimitBytes: 0,
    } as const;
    await registry.putNode(record, [{ ...version, state: 'READY', memoryBytes: 1 }], FOREVER_MS);
  }
}

const flags = readServerFlags();
const [model = '', ...ports] = flags.rest;
const registry = new MemoryRegistry(systemClock);
await fill(registry, model, ports);
const router = startRouter({
  registry,
  clock: systemClock,
  random: Math.random,
  log: createLog({ role: 'router', level: 'warn' }),
  metrics: createMetrics(),
  version: 'bench',
  connect: (address) => connectNode(address, NODE_METHODS, flags),
});
while (router.waitingFor().length > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
const listener = await serveBackend(router.backend, flags, router.raw);
console.log(`listening ${listener.port}`);
answerControlLines({
  // The nodes count.
  calls: () => Number.NaN,
  stop: async () => {
    listener.stop();
    router.stop();
    await registry.close();
  },
});
