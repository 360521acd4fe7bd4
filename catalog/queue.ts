// How a job comes to be: its document first (the record of truth), then the announcement that only
// saves time. A repeated call with the same id finds the job that is there.
import { isDeepStrictEqual } from 'node:util';
import type { Log } from '../common/log.ts';
import { Code, hasCode, StatusError } from '../common/status.ts';
import type { Registry } from '../registry/registry.ts';
import type { Catalog, Entry } from './catalog.ts';
import type { JobSpec } from './documents.ts';
import { JOBS_TOPIC, newJob } from './jobs.ts';

export interface QueueOptions {
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly log: Log;
}

/**
 * Queues a job; the one that is there already when the same id asked for the same work.
 * @throws ALREADY_EXISTS when the id is another job's.
 */
export async function queueJob(
  { catalog, registry, log }: QueueOptions,
  id: string,
  spec: JobSpec,
  dateMs: number,
): Promise<Entry<'job'>> {
  const entry = await createOrFind(catalog, id, spec, dateMs);
  try {
    await registry.announce(JOBS_TOPIC);
  } catch (error) {
    log.warn({ job: id, err: error }, 'a new job could not be announced: workers find it later');
  }
  return entry;
}

async function createOrFind(
  catalog: Catalog,
  id: string,
  spec: JobSpec,
  dateMs: number,
): Promise<Entry<'job'>> {
  try {
    return await catalog.create('job', id, newJob(id, spec, dateMs));
  } catch (error) {
    if (!hasCode(error, Code.ALREADY_EXISTS)) throw error;
    const found = await catalog.require('job', id);
    if (isSame(found.doc.spec, spec)) return found;
    throw new StatusError(
      Code.ALREADY_EXISTS,
      `job '${id}' is there already and was asked for something else: give another id, or none`,
    );
  }
}

/** A seed that was made up differs from call to call. */
function isSame(stored: JobSpec, asked: JobSpec): boolean {
  const seed = 0;
  return isDeepStrictEqual({ ...stored, seed }, { ...asked, seed });
}
