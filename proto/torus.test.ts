// The generated definitions of torus/v1 carry real calls over @grpc/grpc-js, typed on both sides.
import { promisify } from 'node:util';
import { credentials, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import test from 'ava';
import { Job, JobState } from './gen/torus/v1/job.ts';
import {
  JobServiceClient,
  type JobServiceServer,
  JobServiceService,
} from './gen/torus/v1/job_service.ts';

const unimplemented = (_call: unknown, answer: (error: Partial<ServiceError>) => void): void =>
  answer({ code: status.UNIMPLEMENTED });

const jobs: JobServiceServer = {
  createTrainingJob: unimplemented,
  listJobs: unimplemented,
  cancelJob: unimplemented,
  getJob: (call, answer) =>
    answer(null, Job.fromPartial({ name: call.request.name, epoch: 2n ** 60n })),
  watchJob: (call) => {
    for (const state of [JobState.RUNNING, JobState.SUCCEEDED]) {
      call.write(Job.fromPartial({ name: call.request.name, state }));
    }
    call.end();
  },
};

test('a unary call and a stream arrive as they were sent', async (t) => {
  const server = new Server();
  server.addService(JobServiceService, jobs);
  const bind = promisify(server.bindAsync.bind(server));
  const port = await bind('127.0.0.1:0', ServerCredentials.createInsecure());
  const client = new JobServiceClient(`127.0.0.1:${port}`, credentials.createInsecure());
  t.teardown(() => {
    client.close();
    server.forceShutdown();
  });

  const job = await new Promise<Job>((resolve, reject) => {
    client.getJob({ name: 'jobs/1' }, (error, value) => (error ? reject(error) : resolve(value)));
  });
  t.deepEqual([job.name, job.epoch], ['jobs/1', 2n ** 60n]);

  const states: JobState[] = [];
  const watched: AsyncIterable<Job> = client.watchJob({ name: 'jobs/1' });
  for await (const seen of watched) states.push(seen.state);
  t.deepEqual(states, [JobState.RUNNING, JobState.SUCCEEDED]);
});
