// What may happen to a job, as pure changes of its document. A job ends exactly once. Whoever works
// on it holds a claim (owner and epoch); each new owner raises the epoch, and a write that carries
// an older one is refused, so a worker that was taken for dead changes nothing when it wakes.
import { randomBytes } from 'node:crypto';
import { Code, failedPrecondition, StatusError } from '../common/status.ts';
import {
  CATALOG_SCHEMA,
  type JobDoc,
  type JobSpec,
  type JobState,
  MAX_JOB_ATTEMPTS,
} from './documents.ts';

/** The right to change a running job. */
export interface JobClaim {
  readonly id: string;
  readonly owner: string;
  readonly epoch: number;
}

export type JobProgress = JobDoc['progress'];
export type JobResult = NonNullable<JobDoc['result']>;

/** Announced in the registry when a job was made or ended. */
export const JOBS_TOPIC = 'jobs';

/** Longest error text kept in a job; the rest is cut. */
const MAX_ERROR_CHARACTERS = 4_096;

const ENDED: ReadonlySet<JobState> = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED']);

export function hasEnded(job: Pick<JobDoc, 'state'>): boolean {
  return ENDED.has(job.state);
}

/** Whether a document may be a job that has not ended, told from its state alone. */
export function mayBeOpen(body: unknown): boolean {
  const state = body instanceof Object && 'state' in body ? body.state : undefined;
  return !ENDED.has(state as JobState);
}

/** '20260131t235959123-0f1e2d3c': sorts by time, and two of the same millisecond differ. */
export function makeJobId(dateMs: number, random: string = randomBytes(4).toString('hex')): string {
  const time = new Date(dateMs)
    .toISOString()
    .replace(/[-:.Z]/g, '')
    .toLowerCase();
  return `${time}-${random}`;
}

export function jobLeaseName(id: string): string {
  return `jobs/${id}`;
}

export function newJob(id: string, spec: JobSpec, dateMs: number): JobDoc {
  return {
    schema: CATALOG_SCHEMA,
    id,
    spec,
    state: 'QUEUED',
    isCancelRequested: false,
    owner: '',
    epoch: 0,
    attempts: 0,
    progress: { fraction: 0, step: '', metrics: {} },
    createdMs: dateMs,
    updatedMs: dateMs,
  };
}

/**
 * Takes a queued job, or a running one whose worker is lost (the caller has seen that nobody holds
 * its lease). The job becomes `owner`'s under the next epoch; or it ends: CANCELLED when that was
 * asked for (unless it may have published by then: whoever works on it is to see), FAILED when it
 * has been taken MAX_JOB_ATTEMPTS times.
 * @throws FAILED_PRECONDITION when it has ended.
 */
export function claimJob(job: JobDoc, owner: string, dateMs: number): JobDoc {
  if (hasEnded(job)) throw endedAlready(job);
  const epoch = job.epoch + 1;
  const mayHavePublished = job.reservedVersion !== undefined;
  if (job.isCancelRequested && !mayHavePublished) {
    return end({ ...job, epoch }, 'CANCELLED', dateMs);
  }
  if (job.attempts >= MAX_JOB_ATTEMPTS) {
    const message =
      `given up after ${job.attempts} attempts: each worker ended without a result, ` +
      `the last one was ${job.owner === '' ? 'unknown' : job.owner}` +
      (job.progress.step === '' ? '' : `, at the step '${job.progress.step}'`);
    return { ...end({ ...job, epoch }, 'FAILED', dateMs), error: { code: Code.ABORTED, message } };
  }
  return {
    ...job,
    state: 'RUNNING',
    owner,
    epoch,
    attempts: job.attempts + 1,
    progress: { fraction: 0, step: '', metrics: {} },
    startedMs: job.startedMs ?? dateMs,
    updatedMs: dateMs,
  };
}

export function holdsClaim(job: JobDoc, claim: JobClaim): boolean {
  return job.state === 'RUNNING' && job.owner === claim.owner && job.epoch === claim.epoch;
}

/** @throws ABORTED when the job is not the claim's any more. */
export function checkClaim(job: JobDoc, claim: JobClaim): void {
  if (holdsClaim(job, claim)) return;
  throw new StatusError(
    Code.ABORTED,
    `job '${job.id}' is not ${claim.owner}'s under epoch ${claim.epoch} any more: it is ` +
      `${job.state}, epoch ${job.epoch}${job.owner === '' ? '' : `, owner ${job.owner}`}`,
  );
}

/** @throws ABORTED as all changes under a claim. */
export function progressJob(
  job: JobDoc,
  claim: JobClaim,
  progress: JobProgress,
  dateMs: number,
): JobDoc {
  checkClaim(job, claim);
  const fraction = Number.isFinite(progress.fraction)
    ? Math.min(1, Math.max(0, progress.fraction))
    : job.progress.fraction;
  return { ...job, progress: { ...progress, fraction }, updatedMs: dateMs };
}

/** Fixes the model version's number that this job publishes; one already fixed stays. */
export function reserveJobVersion(
  job: JobDoc,
  claim: JobClaim,
  version: number,
  dateMs: number,
): JobDoc {
  checkClaim(job, claim);
  if (job.reservedVersion !== undefined) return job;
  return { ...job, reservedVersion: version, updatedMs: dateMs };
}

export function succeedJob(
  job: JobDoc,
  claim: JobClaim,
  result: JobResult,
  dateMs: number,
): JobDoc {
  checkClaim(job, claim);
  const progress = { ...job.progress, fraction: 1 };
  return { ...end(job, 'SUCCEEDED', dateMs), progress, result };
}

export function failJob(job: JobDoc, claim: JobClaim, error: StatusError, dateMs: number): JobDoc {
  checkClaim(job, claim);
  const message = error.message.slice(0, MAX_ERROR_CHARACTERS);
  return { ...end(job, 'FAILED', dateMs), error: { code: error.code, message } };
}

/** The owner has stopped since that was asked for. */
export function cancelJob(job: JobDoc, claim: JobClaim, dateMs: number): JobDoc {
  checkClaim(job, claim);
  return end(job, 'CANCELLED', dateMs);
}

/** The owner's process ends politely: somebody else is to take the job, and this was no attempt. */
export function requeueJob(job: JobDoc, claim: JobClaim, dateMs: number): JobDoc {
  checkClaim(job, claim);
  const attempts = Math.max(0, job.attempts - 1);
  return { ...job, state: 'QUEUED', owner: '', attempts, updatedMs: dateMs };
}

/**
 * Asks for the end: a queued job is CANCELLED at once, a running one when its owner has seen it.
 * Asking again changes nothing.
 * @throws FAILED_PRECONDITION when it has ended otherwise.
 */
export function requestCancel(job: JobDoc, dateMs: number): JobDoc {
  if (job.state === 'CANCELLED') return job;
  if (hasEnded(job)) throw endedAlready(job);
  if (job.state === 'QUEUED') {
    return end({ ...job, isCancelRequested: true }, 'CANCELLED', dateMs);
  }
  return job.isCancelRequested ? job : { ...job, isCancelRequested: true, updatedMs: dateMs };
}

function end(job: JobDoc, state: JobState, dateMs: number): JobDoc {
  return { ...job, state, endedMs: dateMs, updatedMs: dateMs };
}

function endedAlready(job: JobDoc): StatusError {
  return failedPrecondition(`job '${job.id}' has ended already: ${job.state}`);
}
