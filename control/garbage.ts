// Removes blobs that nothing names any more. Named are: every version's manifest and the files in
// it, and what unfinished and recently ended jobs were given. Everything else goes once it is older
// than the grace period, which covers what is uploaded or published right now and named a moment
// later.
import type { Catalog, Entry } from '../catalog/catalog.ts';
import type { JobDoc } from '../catalog/documents.ts';
import { hasEnded } from '../catalog/jobs.ts';
import type { Log } from '../common/log.ts';
import { Code, hasCode } from '../common/status.ts';
import { type Manifest, readManifest } from '../model/manifest.ts';
import {
  type BlobListing,
  type BlobReader,
  type BlobStore,
  MAX_LIST_BLOBS,
} from '../stores/blobs/blobs.ts';

/** Younger blobs are kept, and what a job was given stays so long after its end. */
export const GARBAGE_GRACE_MS = 24 * 60 * 60 * 1_000;

/** Ended jobs are forgotten after this time, and beyond this number the oldest. */
export const JOB_RETENTION_MS = 30 * 24 * 60 * 60 * 1_000;
const MAX_ENDED_JOBS = 10_000;

/** After so many removals it is read again which blobs jobs name by now. */
export const REMOVALS_PER_LOOK = 100;

export interface GarbageOptions {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly log: Log;
  /** The date, milliseconds since 1970. */
  readonly dateMs: () => number;
  /** Ends the pass before the next removal. */
  readonly signal?: AbortSignal;
}

export interface GarbageReport {
  readonly blobs: number;
  readonly removed: number;
  readonly removedBytes: number;
}

/** Blobs that a job names, as long as it may still read them. */
function blobsOfJob(job: JobDoc, nowMs: number): readonly string[] {
  if (hasEnded(job) && nowMs - (job.endedMs ?? job.updatedMs) > GARBAGE_GRACE_MS) return [];
  switch (job.spec.kind) {
    case 'train':
      return [];
    case 'import_dataset':
      return [job.spec.blobSha256];
    case 'import_model':
      return job.spec.files.map(({ sha256 }) => sha256);
  }
}

/**
 * Forgets jobs that ended long ago, and the oldest of those that ended when there are very many:
 * lists of jobs are read whole. @returns how many
 */
export async function forgetOldJobs(options: GarbageOptions): Promise<number> {
  const { catalog, dateMs } = options;
  const ended: Entry<'job'>[] = [];
  for await (const entry of catalog.scan('job', { onInvalid: () => {} })) {
    if (hasEnded(entry.doc)) ended.push(entry);
  }
  const endMs = ({ doc }: Entry<'job'>): number => doc.endedMs ?? doc.updatedMs;
  ended.sort((a, b) => endMs(b) - endMs(a));
  const limitMs = dateMs() - JOB_RETENTION_MS;
  const old = ended.filter((entry, at) => at >= MAX_ENDED_JOBS || endMs(entry) < limitMs);
  for (const { key, revision } of old) {
    if (options.signal?.aborted) break;
    await catalog.remove('job', key, revision);
  }
  return old.length;
}

/**
 * One pass. The blobs are listed before it is read what is named, so a blob that is named meanwhile
 * is seen; one that is written again between is young. What uploads of long ago are imported from
 * while many blobs go is looked for again and again. Nothing is removed when a manifest can't be
 * read.
 */
export async function collectGarbage(options: GarbageOptions): Promise<GarbageReport> {
  const { blobs, log, dateMs } = options;
  const listing = await listAll(blobs);
  const nowMs = dateMs();
  const old = listing.filter(({ writtenMs }) => nowMs - writtenMs > GARBAGE_GRACE_MS);
  if (old.length === 0) return { blobs: listing.length, removed: 0, removedBytes: 0 };
  const named = await namedBlobs(options, nowMs);
  const garbage = old.filter(({ sha256 }) => !named.has(sha256));
  let removed = 0;
  let removedBytes = 0;
  for (const [at, { sha256, sizeBytes }] of garbage.entries()) {
    if (options.signal?.aborted) break;
    if (at % REMOVALS_PER_LOOK === 0 && at > 0) await addNamedByJobs(options.catalog, nowMs, named);
    if (named.has(sha256)) continue;
    if (!(await isStillOld(blobs, sha256, dateMs() - GARBAGE_GRACE_MS))) continue;
    await blobs.remove(sha256);
    removed += 1;
    removedBytes += sizeBytes;
  }
  if (removed > 0) log.info({ removed, removedBytes }, 'blobs that nothing names were removed');
  return { blobs: listing.length, removed, removedBytes };
}

async function listAll(blobs: BlobStore): Promise<BlobListing[]> {
  const listing: BlobListing[] = [];
  for (let after = ''; ; ) {
    const page = await blobs.list(after, MAX_LIST_BLOBS);
    listing.push(...page);
    const last = page.at(-1);
    if (last === undefined || page.length < MAX_LIST_BLOBS) return listing;
    after = last.sha256;
  }
}

/** A last look before it goes: an upload of the same content may have made it young again. */
async function isStillOld(blobs: BlobStore, sha256: string, limitMs: number): Promise<boolean> {
  const [listing] = (await blobs.list(sha256.slice(0, -1), 16)).filter(
    (one) => one.sha256 === sha256,
  );
  return listing !== undefined && listing.writtenMs < limitMs;
}

async function namedBlobs(
  { catalog, blobs, log }: GarbageOptions,
  nowMs: number,
): Promise<Set<string>> {
  const named = new Set<string>();
  await addNamedByJobs(catalog, nowMs, named);
  for await (const { key, doc } of catalog.scan('version')) {
    if (named.has(doc.manifestSha256)) continue;
    named.add(doc.manifestSha256);
    const manifest = await manifestOf(blobs, doc.manifestSha256);
    if (manifest === undefined) {
      log.error(
        { version: key, manifest: doc.manifestSha256 },
        'the manifest of a version is gone',
      );
      continue;
    }
    for (const { sha256 } of manifest.files) named.add(sha256);
  }
  return named;
}

async function addNamedByJobs(catalog: Catalog, nowMs: number, named: Set<string>): Promise<void> {
  for await (const { doc } of catalog.scan('job')) {
    for (const sha256 of blobsOfJob(doc, nowMs)) named.add(sha256);
  }
}

/** Undefined when it is not there any more. */
async function manifestOf(blobs: BlobReader, sha256: string): Promise<Manifest | undefined> {
  try {
    return await readManifest(blobs, sha256);
  } catch (error) {
    if (hasCode(error, Code.NOT_FOUND)) return undefined;
    throw error;
  }
}
