import test, { type ExecutionContext } from 'ava';
import { Job, JobKind, JobState } from '../../proto/gen/torus/v1/job.ts';
import { WatchJobRequest } from '../../proto/gen/torus/v1/job_service.ts';
import {
  codecOf,
  defineService,
  type HandlerContext,
  serverStream,
} from '../../transport/service.ts';
import { nowhere, startedGateway } from '../testing/started.ts';

/** A job that runs until its watcher goes away. */
async function start(t: ExecutionContext) {
  const left = Promise.withResolvers<void>();
  async function* watch({ name }: WatchJobRequest, { signal }: HandlerContext) {
    const running = { name, kind: JobKind.TRAIN, state: JobState.RUNNING, epoch: 2n ** 60n };
    yield Job.fromPartial(running);
    const gone = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => gone.resolve());
    await gone.promise;
    left.resolve();
  }
  const path = '/torus.v1.JobService/WatchJob';
  const method = serverStream(path, codecOf(WatchJobRequest), codecOf(Job), watch);
  const gateway = await startedGateway({ admin: defineService([method], nowhere) });
  t.teardown(gateway.stop);
  const controller = new AbortController();
  const { signal } = controller;
  const response = await fetch(`${gateway.url}/api/v1/jobs/j/watch`, { signal });
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
  const first = Buffer.from((await reader.read()).value ?? []).toString();
  return { gateway, response, reader, first, controller, left };
}

test('a watch is an event stream whose first message comes at once', async (t) => {
  const { response, first } = await start(t);
  t.is(response.status, 200);
  t.regex(response.headers.get('content-type') ?? '', /^text\/event-stream/);
  t.is(response.headers.get('cache-control'), 'no-store');
  t.like(JSON.parse(first.slice('data: '.length)), {
    name: 'jobs/j',
    state: 'JOB_STATE_RUNNING',
    epoch: String(2n ** 60n),
    cancelRequested: false,
  });
});

test('a client that goes away ends its watch', async (t) => {
  const { reader, controller, left } = await start(t);
  controller.abort();
  await t.throwsAsync(reader.read());
  await left.promise;
});

test('stop ends a watch at once', async (t) => {
  const { gateway, reader, left } = await start(t);
  await gateway.stop();
  await left.promise;
  for (let isOpen = true; isOpen; ) {
    const { done, value } = await reader.read();
    isOpen = !done;
    if (value !== undefined) t.regex(Buffer.from(value).toString(), /CANCELLED/);
  }
});
