// torus trainer: takes training jobs, each in a process of its own.
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { startTrainer } from '../../trainer/trainer.ts';
import { lockDataFolder } from '../up/data-lock.ts';
import type { RoleContext, RunningRole } from './role-process.ts';
import { openSharedStores } from './shared-stores.ts';

export async function runTrainer(context: RoleContext<'trainer'>): Promise<RunningRole> {
  const { settings, log, metrics, closers } = context;
  const lock = lockDataFolder(settings.data);
  closers.add('data folder', () => lock.release());
  const { reachable, ...stores } = await openSharedStores(context);
  const trainer = await startTrainer({
    ...{ ...stores, log, metrics, clock: systemClock, dateMs: Date.now },
    directory: join(settings.data, 'trainer'),
    toolchainDirectory: join(settings.data, 'toolchain'),
  });
  closers.add('trainer', () => trainer.stop());
  return { addresses: {}, waitingFor: () => reachable.waitingFor() };
}
