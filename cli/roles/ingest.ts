// torus ingest: takes import jobs, of data sets and of models.
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { startIngest } from '../../ingest/ingest.ts';
import { lockDataFolder } from '../up/data-lock.ts';
import type { RoleContext, RunningRole } from './role-process.ts';
import { openSharedStores } from './shared-stores.ts';

export async function runIngest(context: RoleContext<'ingest'>): Promise<RunningRole> {
  const { settings, log, closers } = context;
  const lock = lockDataFolder(settings.data);
  closers.add('data folder', () => lock.release());
  const { reachable, ...stores } = await openSharedStores(context);
  const ingest = await startIngest({
    ...{ ...stores, log, clock: systemClock, dateMs: Date.now },
    directory: join(settings.data, 'ingest'),
  });
  closers.add('ingest', () => ingest.stop());
  return { addresses: {}, waitingFor: () => reachable.waitingFor() };
}
