import test from 'ava';
import { newDataset } from '../../catalog/datasets.ts';
import { claimJob, failJob, newJob, progressJob, succeedJob } from '../../catalog/jobs.ts';
import { Code, StatusError } from '../../common/status.ts';
import { Algorithm, type Job, TrainingSpec } from '../../proto/gen/torus/v1/job.ts';
import { ListJobsRequest } from '../../proto/gen/torus/v1/job_service.ts';
import { adminWorld, outcomeOf } from '../../test/support/admin-world.ts';

const COLUMNS = ['a', 'b', 'c', 'd', 'label'].map((name) => ({
  name,
  type: 'FLOAT64' as const,
  isNullable: false,
}));

async function worldOf(t: { teardown(end: () => Promise<void>): void }) {
  const world = await adminWorld((end) => t.teardown(end));
  const given = { columns: COLUMNS, targetColumn: 'label' };
  await world.catalog.create('dataset', 'd', newDataset('d', 0, given));
  const spec = (changes: Partial<TrainingSpec> = {}): TrainingSpec => ({
    ...TrainingSpec.create(),
    dataSet: 'datasets/d',
    modelId: 'm',
    ...changes,
  });
  return {
    ...world,
    train: (changes: Partial<TrainingSpec> = {}, jobId = '') =>
      world.jobs.createTrainingJob({ spec: spec(changes), jobId }),
  };
}

test('a training job says all that it will do, defaults included', async (t) => {
  const { train, jobs } = await worldOf(t);
  const job = await train({ promote: true }, 'j1');
  t.like(job, { name: 'jobs/j1', kind: 'JOB_KIND_TRAIN', state: 'JOB_STATE_QUEUED', owner: '' });
  if (job.spec?.$case !== 'training') return t.fail();
  const { training } = job.spec;
  t.like(training, {
    dataSet: 'datasets/d',
    targetColumn: 'label',
    algorithm: 'ALGORITHM_LINEAR',
    heldOutRatio: 0.2,
    promote: true,
  });
  t.true((training.hyperparameters?.epochs ?? 0) > 0);
  t.true((training.seed ?? -1n) >= 0n);
  t.deepEqual(await jobs.getJob({ name: 'jobs/j1' }), job);
  t.deepEqual(await train({ promote: true }, 'j1'), job);
  const other = outcomeOf(train({ promote: true, modelId: 'other' }, 'j1'));
  t.regex(await other, /^ALREADY_EXISTS: job 'j1' .* asked for something else/);
});

test('a job gets an id of its own when none is given', async (t) => {
  const { train } = await worldOf(t);
  const names = [(await train()).name, (await train()).name];
  t.not(names[0], names[1]);
  t.true(names.every((name) => /^jobs\/[0-9]{8}t[0-9]{9}-[0-9a-f]{8}$/.test(name)));
});

test('a training job that can not work is refused, saying what would be right', async (t) => {
  const { train, jobs } = await worldOf(t);
  const refused = (changes: Partial<TrainingSpec>) => outcomeOf(train(changes));
  const given = (hyper: object) => ({
    hyperparameters: {
      epochs: 0,
      batchSize: 0,
      learningRate: 0,
      hiddenUnits: [],
      imageShape: [],
      ...hyper,
    },
  });
  t.regex(await refused({ dataSet: 'datasets/x' }), /^NOT_FOUND: data set 'x'/);
  t.regex(await refused({ dataSet: 'x' }), /^INVALID_ARGUMENT: data_set "x" is not of the form/);
  t.regex(await refused({ dataSet: 'datasets/d/versions/9' }), /^NOT_FOUND: .* 'd\/9'/);
  t.regex(await refused({ modelId: '../m' }), /^INVALID_ARGUMENT: model name/);
  t.regex(await refused({ targetColumn: 'z' }), /^INVALID_ARGUMENT: target_column 'z' .*: a, b, c/);
  t.regex(await refused({ featureColumns: ['a', 'label'] }), /^INVALID_ARGUMENT: target_column/);
  t.regex(await refused({ heldOutRatio: 1 }), /^INVALID_ARGUMENT: held_out_ratio/);
  t.regex(await refused({ seed: -1n }), /^INVALID_ARGUMENT: seed/);
  t.regex(await refused(given({ epochs: -1 })), /^INVALID_ARGUMENT: epochs/);
  t.regex(await refused(given({ learningRate: Number.NaN })), /^INVALID_ARGUMENT: learning_rate/);
  t.regex(await refused(given({ learningRate: -1 })), /^INVALID_ARGUMENT: learning_rate/);
  t.regex(await refused(given({ learningRate: 1e-60 })), /^INVALID_ARGUMENT: .* within FP32/);
  t.regex(await refused(given({ learningRate: 1e60 })), /^INVALID_ARGUMENT: .* within FP32/);
  const hidden = (hiddenUnits: number[]) => ({
    algorithm: Algorithm.MLP,
    ...given({ hiddenUnits }),
  });
  t.regex(await refused(hidden([0])), /^INVALID_ARGUMENT: hidden_units/);
  t.regex(await refused(hidden(Array(10_000).fill(1))), /has 10000 layers, the most are 16/);
  t.regex(await refused(given({ hiddenUnits: [4] })), /: linear has no hidden layers, MLP has/);
  t.regex(await refused({ algorithm: Algorithm.CNN }), /^INVALID_ARGUMENT: image_shape/);
  const image = (imageShape: number[]) => ({ algorithm: Algorithm.CNN, ...given({ imageShape }) });
  t.regex(await refused(image([4, 5, 1])), /^INVALID_ARGUMENT: .* 20 values, but there are 4/);
  t.regex(await refused(image([2, 2, 1])), /^INVALID_ARGUMENT: image_shape .* at least 4 x 4/);
  const shaped = (imageShape: number[]) => ({ algorithm: Algorithm.MLP, ...given({ imageShape }) });
  t.regex(await refused(shaped([2, 2])), /^INVALID_ARGUMENT: image_shape \[2,2\] must be three/);
  t.is(await refused(shaped([2, 2, 1])), 'OK');
  const none = jobs.createTrainingJob({ spec: undefined, jobId: '' });
  t.regex(await outcomeOf(none), /^INVALID_ARGUMENT: spec/);
});

test('a data set without a target asks for one', async (t) => {
  const { train, catalog } = await worldOf(t);
  await catalog.create('dataset', 'e', newDataset('e', 0));
  const refused = outcomeOf(train({ dataSet: 'datasets/e' }));
  t.regex(await refused, /^INVALID_ARGUMENT: target_column must be given/);
  t.is(await outcomeOf(train({ dataSet: 'datasets/e', targetColumn: 'y' })), 'OK');
});

test('jobs are listed newest first, by kind and state, page by page', async (t) => {
  const { train, jobs, catalog } = await worldOf(t);
  for (const id of ['z', 'a', 'm']) await train({}, id);
  await catalog.update('job', 'a', (job) => claimJob(job, 'w', 5));
  const list = async (given: Partial<ListJobsRequest>) => {
    const page = await jobs.listJobs({ ...ListJobsRequest.create(), ...given });
    return [page.jobs.map(({ name }) => name.slice(5)).join(), page.nextPageToken] as const;
  };
  t.deepEqual(await list({}), ['m,a,z', '']);
  const [first, token] = await list({ pageSize: 2 });
  t.is(first, 'm,a');
  t.deepEqual(await list({ pageSize: 2, pageToken: token }), ['z', '']);
  t.deepEqual(await list({ state: 'JOB_STATE_RUNNING' }), ['a', '']);
  t.deepEqual(await list({ kind: 'JOB_KIND_IMPORT_MODEL' }), ['', '']);
});

test('progress, error and result are shown under their own names', async (t) => {
  const { train, jobs, catalog } = await worldOf(t);
  await train({}, 'j1');
  const claim = { id: 'j1', owner: 'w', epoch: 1 };
  await catalog.update('job', 'j1', (job) => claimJob(job, 'w', 5));
  const metrics = { epoch: 3, loss: 0.5, accuracy: 0.8 };
  await catalog.update('job', 'j1', (job) =>
    progressJob(job, claim, { fraction: 0.3, step: 'epoch 3', metrics }, 6),
  );
  const running = await jobs.getJob({ name: 'jobs/j1' });
  t.like(running, { state: 'JOB_STATE_RUNNING', owner: 'w', epoch: 1n });
  t.like(running.progress, { fraction: 0.3, step: 'epoch 3', epoch: 3, loss: 0.5, accuracy: 0.8 });
  await catalog.update('job', 'j1', (job) =>
    succeedJob(
      job,
      claim,
      { name: 'models/m/versions/1', metrics: { max_abs_difference: 1e-6 } },
      7,
    ),
  );
  const done = await jobs.getJob({ name: 'jobs/j1' });
  t.like(done.result, {
    modelVersion: 'models/m/versions/1',
    dataSetVersion: '',
    maxAbsDifference: 1e-6,
  });
  t.is(done.endTime?.getTime(), 7);
});

test('a watch tells each change it finds and ends with the job', async (t) => {
  const { train, jobs, catalog } = await worldOf(t);
  await train({}, 'j1');
  const claim = { id: 'j1', owner: 'w', epoch: 1 };
  const states: string[] = [];
  for await (const job of jobs.watchJob({ name: 'jobs/j1' })) {
    states.push(job.state);
    if (job.state === 'JOB_STATE_QUEUED') {
      await catalog.update('job', 'j1', (doc) => claimJob(doc, 'w', 5));
    } else if (job.state === 'JOB_STATE_RUNNING') {
      const error = new StatusError(Code.INVALID_ARGUMENT, 'one class only');
      await catalog.update('job', 'j1', (doc) => failJob(doc, claim, error, 6));
    } else {
      t.deepEqual(job.error, { code: Code.INVALID_ARGUMENT, message: 'one class only' });
    }
  }
  t.deepEqual(states, ['JOB_STATE_QUEUED', 'JOB_STATE_RUNNING', 'JOB_STATE_FAILED']);
  const absent = async (): Promise<Job | undefined> => {
    for await (const job of jobs.watchJob({ name: 'jobs/nobody' })) return job;
    return undefined;
  };
  t.regex(await outcomeOf(absent()), /^NOT_FOUND: job 'nobody'/);
});

test('a queued job is cancelled at once; an ended one stays as it is', async (t) => {
  const { train, jobs, catalog } = await worldOf(t);
  await train({}, 'j1');
  const cancel = (id: string) => jobs.cancelJob({ name: `jobs/${id}` });
  t.like(await cancel('j1'), { state: 'JOB_STATE_CANCELLED', cancelRequested: true });
  t.like(await cancel('j1'), { state: 'JOB_STATE_CANCELLED' });
  const { doc } = await catalog.require('job', 'j1');
  await catalog.create('job', 'j3', claimJob(newJob('j3', doc.spec, 1), 'w', 2));
  t.like(await cancel('j3'), { state: 'JOB_STATE_RUNNING', cancelRequested: true });
  t.like(await cancel('j3'), { state: 'JOB_STATE_RUNNING', cancelRequested: true });
  t.regex(await outcomeOf(cancel('nobody')), /^NOT_FOUND/);
  const claim = { id: 'j3', owner: 'w', epoch: 1 };
  const result = { name: 'models/m/versions/1', metrics: {} };
  await catalog.update('job', 'j3', (job) => succeedJob(job, claim, result, 3));
  t.regex(await outcomeOf(cancel('j3')), /^FAILED_PRECONDITION: .* has ended already: SUCCEEDED/);
});
