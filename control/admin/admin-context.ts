// What the admin services work with, and what several of them ask for.
import type { Catalog, Entry } from '../../catalog/catalog.ts';
import type { JobSpec } from '../../catalog/documents.ts';
import { hasEnded, makeJobId, mayBeOpen } from '../../catalog/jobs.ts';
import { queueJob } from '../../catalog/queue.ts';
import type { Clock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import { checkName } from '../../common/names.ts';
import { invalidArgument, notFound } from '../../common/status.ts';
import type { Registry } from '../../registry/registry.ts';
import type { BlobReader } from '../../stores/blobs/blobs.ts';
import type { DatasetStore } from '../../stores/datasets/datasets.ts';

export interface AdminContext {
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly blobs: Pick<BlobReader, 'stat'>;
  readonly datasets: DatasetStore;
  readonly clock: Clock;
  readonly log: Log;
  /** The date, milliseconds since 1970. */
  readonly dateMs: () => number;
}

/** Queues a job under the id that was given, or one that is made up. */
export async function submitJob(
  context: AdminContext,
  givenId: string,
  spec: JobSpec,
): Promise<Entry<'job'>> {
  const dateMs = context.dateMs();
  const id = givenId === '' ? makeJobId(dateMs) : checkName('job', givenId);
  return await queueJob(context, id, spec, dateMs);
}

/** @throws NOT_FOUND when it was not uploaded, INVALID_ARGUMENT when it has another size. */
export async function requireBlob(
  context: AdminContext,
  sha256: string,
  sizeBytes?: number,
): Promise<number> {
  const info = await context.blobs.stat(sha256);
  if (info === undefined) throw notFound(`blob ${sha256} is not found: upload it first`);
  if (sizeBytes === undefined || sizeBytes === 0 || sizeBytes === info.sizeBytes) {
    return info.sizeBytes;
  }
  throw invalidArgument(`blob ${sha256} has ${info.sizeBytes} bytes, not ${sizeBytes}`);
}

/** Ids of the jobs that have not ended and are about what is asked for. */
export async function openJobs(
  catalog: Catalog,
  isAbout: (spec: JobSpec) => boolean,
): Promise<string[]> {
  const ids: string[] = [];
  const onInvalid = (): void => {};
  for await (const { doc } of catalog.scan('job', { isWanted: mayBeOpen, onInvalid })) {
    if (!hasEnded(doc) && isAbout(doc.spec)) ids.push(doc.id);
  }
  return ids;
}
