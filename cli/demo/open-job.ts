// A demo that was stopped in the middle has left jobs that the next start takes up by itself. The
// demo then waits for those: starting the same again would add the rows or train the model twice.
import { Job } from '../../proto/gen/torus/v1/job.ts';
import type { RestClient } from '../client/rest.ts';
import { isFinal } from '../commands/context.ts';

/** The data set that an import fills, or the model that a training job publishes. */
export type Made = { readonly dataset: string } | { readonly model: string };

/** Of jobs, newest first, the newest that has not ended and makes this. */
export function openJobOf(jobs: readonly Job[], made: Made): Job | undefined {
  return jobs.find((job) => {
    const { spec } = job;
    if (isFinal(job) || spec === undefined) return false;
    if ('dataset' in made) {
      return 'dataSetImport' in spec && spec.dataSetImport.dataSet === `datasets/${made.dataset}`;
    }
    return 'training' in spec && spec.training.modelId === made.model;
  });
}

export async function findOpenJob(client: RestClient, made: Made): Promise<Job | undefined> {
  const answer = (await client.call('GET', '/api/v1/jobs?page_size=1000')) as { jobs?: unknown[] };
  return openJobOf(
    (answer.jobs ?? []).map((job) => Job.fromJSON(job)),
    made,
  );
}
