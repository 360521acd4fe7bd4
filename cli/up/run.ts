// The process of `torus up`: starts the roles, says that it is ready, runs the demo, and ends when
// told to: first it drains, then it stops, and it ends in any case.

import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { statusOf } from '../../common/status.ts';
import { createOutput } from '../client/output.ts';
import { restClient } from '../client/rest.ts';
import { aborted, endSoon, stopOnSignals } from '../stopping.ts';
import { tokensOf } from '../tls-settings.ts';
import { Closers } from './closers.ts';
import { type RunningRoles, startRoles } from './roles.ts';
import type { UpSettings } from './settings.ts';
import { type OpenStores, openStores } from './stores.ts';

/** Past it the process ends as it is: it is gone within 10 s of the signal. */
const STOP_TIMEOUT_MS = 9_500;
/**
 * Models of an earlier run are waited for until the process is so old; then the ready line is
 * printed without them.
 */
const READY_BY_MS = 4_500;
const LOOK_MS = 20;
/** Versions of a model repository that are named when they were imported. */
const NAMES_SHOWN = 20;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Resolves when the process may end. @throws what kept it from starting. */
export async function runUp(settings: UpSettings): Promise<void> {
  const rootLog = createLog({ level: settings.logLevel });
  const log = rootLog.child({ role: 'up' });
  const closers = new Closers(log);
  const stopping = stopOnSignals(STOP_TIMEOUT_MS);
  const onFatal = (error: Error): void => {
    log.fatal({ err: error }, 'the process has to end');
    process.exitCode = 1;
    stopping.begin();
  };
  try {
    const stores = await openStores(settings.data);
    closers.add('stores', () => stores.close());
    const roles = await startRoles({ settings, stores, rootLog, closers, onFatal });
    await settled(roles, stopping.signal);
    const { http, grpc, metrics, admin } = roles.addresses;
    const addresses = `http=${http} grpc=${grpc} metrics=${metrics} admin=${admin}`;
    if (!stopping.signal.aborted) say(`torus ready ${addresses}`);
    const work = afterReady(settings, roles, stores, stopping.signal);
    await aborted(stopping.signal);
    await work;
  } finally {
    await closers.close();
    endSoon();
  }
}

/** Waits until everything that was there before is served, or it takes too long. */
async function settled(roles: RunningRoles, signal: AbortSignal): Promise<void> {
  const endMs = systemClock.nowMs() - process.uptime() * 1_000 + READY_BY_MS;
  while (!signal.aborted && systemClock.nowMs() < endMs) {
    if ((await roles.waitingFor()).length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function afterReady(
  settings: UpSettings,
  roles: RunningRoles,
  stores: OpenStores,
  signal: AbortSignal,
): Promise<void> {
  const warn = (what: string, thrown: unknown): void => {
    if (!signal.aborted) process.stderr.write(`torus: ${what}: ${statusOf(thrown).message}\n`);
  };
  if (settings.modelRepository !== undefined) {
    await importFolder(roles, settings.modelRepository, signal).catch((thrown: unknown) =>
      warn(`model repository ${settings.modelRepository}`, thrown),
    );
  }
  if (!settings.isDemo || signal.aborted) return;
  const { runDemo } = await import('../demo/demo.ts');
  const output = createOutput(
    false,
    (text) => process.stdout.write(text),
    () => undefined,
  );
  const bearerToken = tokensOf(settings.adminTokenFile)?.own;
  const client = restClient(`http://${roles.addresses.http}`, signal, { bearerToken });
  await runDemo({
    context: { client, output, signal },
    addresses: roles.addresses,
    blobs: stores.blobs,
    signal,
    say,
  }).catch((thrown: unknown) => warn('demo', thrown));
}

async function importFolder(
  roles: RunningRoles,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  say(`model repository ${folder}: importing`);
  const { imported, unchangedCount, refused } = await roles.ingest.importRepository(folder, signal);
  const names = imported.map(({ model, version }) => `${model}/${version}`);
  const rest = names.length > NAMES_SHOWN ? ', ...' : '';
  const shown = names.length === 0 ? '' : ` (${names.slice(0, NAMES_SHOWN).join(', ')}${rest})`;
  say(`model repository ${folder}: ${names.length} imported${shown}, ${unchangedCount} unchanged`);
  for (const { path, error } of refused) {
    process.stderr.write(`torus: model repository: ${path}: ${error.message}\n`);
  }
}
