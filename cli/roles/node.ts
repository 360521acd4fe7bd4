// torus node: one inference node of a cluster. The registry says what it is to hold, the blob
// store has the files; while either is away it goes on with what is in its data folder.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { isName } from '../../common/names.ts';
import { busyPoll } from '../../common/tick-end.ts';
import { openRegistry } from '../../registry/open.ts';
import { createLoadModel } from '../../server/engines/load-model.ts';
import { startNode } from '../../server/node.ts';
import { openBlobReader } from '../../stores/blobs/open.ts';
import { LateBackend } from '../../transport/late-backend.ts';
import { mergeBackends } from '../../transport/service.ts';
import { readDescriptors } from '../../transport/services/descriptors.ts';
import { healthService } from '../../transport/services/health.ts';
import { withReflection } from '../../transport/services/reflection.ts';
import { serverTlsOf } from '../tls-settings.ts';
import { lockDataFolder } from '../up/data-lock.ts';
import { NODE_PATHS } from '../up/node-paths.ts';
import { openFirst } from '../up/plane-listener.ts';
import { openPlaneTracing } from '../up/plane-tracing.ts';
import { VERSION } from '../up/version.ts';
import { controlPeer } from './control-peer.ts';
import type { RoleContext, RunningRole } from './role-process.ts';
import { advertisedAddress } from './settings.ts';

/** So long a node that is to end serves on while its copies get ready elsewhere. */
const HANDOVER_MS = 15_000;

export async function runNode(context: RoleContext<'node'>): Promise<RunningRole> {
  const { settings, log, metrics, closers, onFatal } = context;
  busyPoll.setBudget(settings.busyPollUs);
  const lock = lockDataFolder(settings.data);
  closers.add('data folder', () => lock.release());
  const id = settings.id ?? keptId(settings.data);
  const registry = openRegistry(settings.registry, { clock: systemClock, log });
  closers.add('registry', () => registry.close());
  const blobs = await openBlobReader(settings.blobs, {
    registry: settings.registry,
    mayBeAway: true,
    peer: controlPeer(settings),
  });
  closers.add('blobs', () => blobs.close());
  const tracing = await openPlaneTracing(settings, metrics);
  closers.add('spans', () => tracing.close());
  const late = new LateBackend(NODE_PATHS);
  const { host, insecure: isInsecure, nodePort: port, maxConnectionAge } = settings;
  const listener = await openFirst({
    settings: { host, isInsecure, ioThreads: 1, maxConnectionAge, tls: serverTlsOf(settings) },
    ...{ name: id, backend: late, port, portFlag: '--node-port', metrics, log },
  });
  closers.add('listener', () => listener.stop());
  const address = advertisedAddress(settings.advertise, listener.address);
  const { zone, memoryLimit: memoryLimitBytes } = settings;
  const incarnation = `${randomBytes(8).toString('hex')}-${id}`;
  const node = await startNode({
    ...{ id, dataDir: settings.data, clock: systemClock, dateMs: Date.now, log, metrics, onFatal },
    source: {
      kind: 'cluster',
      registry,
      blobs,
      node: { incarnation, address, zone, memoryLimitBytes },
    },
    loadModel: createLoadModel(undefined, { execution: settings.execution }),
    serverVersion: VERSION,
    tracer: tracing.node(id),
    handoverMs: HANDOVER_MS,
  });
  closers.add('node', () => node.stop());
  // Its copies first get new homes; only then callers are told to go.
  closers.add('calls', async () => {
    await node.drain();
    await listener.drain();
  });
  const whole = mergeBackends([node.backend, healthService(node.health, log)]);
  late.become(withReflection(whole, readDescriptors(), log));
  return { addresses: { id, grpc: address }, waitingFor: () => node.waitingFor() };
}

/**
 * The id that is kept in the data folder, made at the first start: by it the node finds its last
 * assignment again, and the leader leaves its copies where they are.
 */
function keptId(folder: string): string {
  const path = join(folder, 'node-id');
  try {
    const kept = readFileSync(path, 'utf8').trim();
    if (isName(kept)) return kept;
  } catch {
    // The first start.
  }
  const name = hostname()
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 100);
  const id = `node-${name}-${randomBytes(4).toString('hex')}`;
  writeFileSync(path, `${id}\n`);
  return id;
}
