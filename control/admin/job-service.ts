// torus.v1.JobService: training jobs, and all jobs to look at, watch and cancel.
import { randomInt } from 'node:crypto';
import { versionKey } from '../../catalog/catalog.ts';
import type { JobDoc, JobSpec } from '../../catalog/documents.ts';
import { hasEnded, requestCancel } from '../../catalog/jobs.ts';
import { invalidArgument } from '../../common/status.ts';
import { type Job, JobKind, JobState } from '../../proto/gen/torus/v1/job.ts';
import {
  type CreateTrainingJobRequest,
  JobServiceService,
  type ListJobsRequest,
} from '../../proto/gen/torus/v1/job_service.ts';
import type { Backend } from '../../transport/backend.ts';
import { serveDefinition } from '../../transport/definition.ts';
import { type AdminContext, submitJob } from './admin-context.ts';
import { ChangeSignal } from './change-signal.ts';
import { fromEnum } from './fields.ts';
import { jobMessage } from './job-messages.ts';
import { pageNewestFirst } from './paging.ts';
import { datasetMaybeVersionOf, jobOf } from './resource-names.ts';
import { trainSpecOf } from './training-spec.ts';

/** Jobs of other processes change without a word here: watchers look so often. */
export const WATCH_JOB_LOOK_MS = 500;
const MAX_RANDOM_SEED = 2 ** 31;

const KINDS: Readonly<Partial<Record<JobKind, JobSpec['kind'] | 'any'>>> = {
  [JobKind.UNSPECIFIED]: 'any',
  [JobKind.TRAIN]: 'train',
  [JobKind.IMPORT_DATA_SET]: 'import_dataset',
  [JobKind.IMPORT_MODEL]: 'import_model',
};

const STATES: Readonly<Partial<Record<JobState, JobDoc['state'] | 'any'>>> = {
  [JobState.UNSPECIFIED]: 'any',
  [JobState.QUEUED]: 'QUEUED',
  [JobState.RUNNING]: 'RUNNING',
  [JobState.SUCCEEDED]: 'SUCCEEDED',
  [JobState.FAILED]: 'FAILED',
  [JobState.CANCELLED]: 'CANCELLED',
};

export function jobService(context: AdminContext): Backend {
  const { catalog, dateMs, log } = context;
  return serveDefinition(
    JobServiceService,
    {
      createTrainingJob: (request) => createTrainingJob(context, request),
      getJob: async ({ name }) => jobMessage(await catalog.require('job', jobOf(name))),
      listJobs: (request) => listJobs(context, request),
      cancelJob: async ({ name }) =>
        jobMessage(await catalog.update('job', jobOf(name), (job) => requestCancel(job, dateMs()))),
      watchJob: ({ name }, { signal }) => watchJob(context, jobOf(name), signal),
    },
    log,
  );
}

async function createTrainingJob(
  context: AdminContext,
  { spec, jobId }: CreateTrainingJobRequest,
): Promise<Job> {
  if (spec === undefined) throw invalidArgument('spec must be given');
  const { id, version } = datasetMaybeVersionOf(spec.dataSet, 'data_set');
  const { doc } = await context.catalog.require('dataset', id);
  // One that comes later would be another one than is meant now.
  if (version !== 0) await context.catalog.require('dataset_version', versionKey(id, version));
  const seed = randomInt(MAX_RANDOM_SEED);
  return jobMessage(await submitJob(context, jobId, trainSpecOf(spec, doc, seed)));
}

/** Sorts by time of creation, then id. */
function ageKey({ createdMs, id }: JobDoc): string {
  return `${String(Math.trunc(createdMs)).padStart(16, '0')}/${id}`;
}

async function listJobs({ catalog, log }: AdminContext, request: ListJobsRequest) {
  const kind = fromEnum('kind', KINDS, request.kind);
  const state = fromEnum('state', STATES, request.state);
  const found: JobDoc[] = [];
  const onInvalid = (job: string, err: unknown): void => {
    log.error({ job, err }, 'a job in the catalog can not be read, it is not listed');
  };
  for await (const { doc } of catalog.scan('job', { onInvalid })) {
    if (kind !== 'any' && doc.spec.kind !== kind) continue;
    if (state === 'any' || doc.state === state) found.push(doc);
  }
  const { items, nextPageToken } = pageNewestFirst(found, ageKey, request);
  return { jobs: items.map((doc) => jobMessage({ doc })), nextPageToken };
}

/** As it is, then each time it is found changed; ends after its final state. */
async function* watchJob(
  { catalog, clock }: AdminContext,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<Job> {
  const changes = new ChangeSignal(clock);
  const unwatch = catalog.onChange((kind, key) => {
    if (kind === 'job' && key === id) changes.tell();
  });
  try {
    let seen = 0;
    while (!signal.aborted) {
      const entry = await catalog.require('job', id);
      if (entry.revision !== seen) {
        seen = entry.revision;
        yield jobMessage(entry);
        if (hasEnded(entry.doc)) return;
      }
      await changes.next(WATCH_JOB_LOOK_MS, signal);
    }
  } finally {
    unwatch();
  }
}
