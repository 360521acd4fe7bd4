import test from 'ava';
import { Job, JobState } from '../../proto/gen/torus/v1/job.ts';
import { openJobOf } from './open-job.ts';

test('a job that makes the same and has not ended is found, others are not', (t) => {
  const job = (name: string, state: JobState, spec: object): Job =>
    Job.fromJSON({ name, state, ...spec });
  const train = { training: { modelId: 'digits', dataSet: 'datasets/digits' } };
  const rows = { dataSetImport: { dataSet: 'datasets/digits' } };
  const jobs = [
    job('other', JobState.RUNNING, { training: { modelId: 'iris' } }),
    job('ended', JobState.FAILED, train),
    job('trains', JobState.QUEUED, train),
    job('imported', JobState.SUCCEEDED, rows),
    job('imports', JobState.RUNNING, rows),
  ];
  t.is(openJobOf(jobs, { model: 'digits' })?.name, 'trains');
  t.is(openJobOf(jobs, { dataset: 'digits' })?.name, 'imports');
  t.is(openJobOf(jobs, { model: 'penguins' }), undefined);
  t.is(openJobOf([], { dataset: 'digits' }), undefined);
});
