// Jobs: training is asked for here; all jobs are listed, cancelled and watched here.

import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Code, StatusError, unavailable } from '../../common/status.ts';
import { whenAnswered } from '../answered.ts';
import { clientGone, streamOptions } from '../call-options.ts';
import { EVENT_STREAM_TYPE, eventText } from '../event-stream.ts';
import { EVENT_HEARTBEAT_MS, MAX_EVENT_STREAMS } from '../limits.ts';
import { answerOfMethod, refTo } from '../openapi.ts';
import type { Rpc } from '../rpc.ts';
import {
  addRpcRoute,
  describe,
  inputOf,
  nameIn,
  PAGING,
  paging,
  type RouteInput,
  type RpcRoute,
} from './rpc-route.ts';

const SERVICE = '/torus.v1.JobService';
const WATCH = `${SERVICE}/WatchJob`;
const KINDS = ['train', 'import_data_set', 'import_model'];
const STATES = ['queued', 'running', 'succeeded', 'failed', 'cancelled'];

const jobName = ({ params }: RouteInput): string => `jobs/${nameIn(params, 'job', 'job')}`;

const routes: readonly Omit<RpcRoute, 'tag'>[] = [
  {
    method: 'POST',
    url: '/api/v1/jobs',
    summary: 'Start a training job',
    body: refTo('torus.v1.TrainingSpec'),
    rpc: `${SERVICE}/CreateTrainingJob`,
    status: 201,
    request: ({ body }) => ({ spec: body }),
  },
  {
    method: 'GET',
    url: '/api/v1/jobs',
    summary: 'List jobs, newest first',
    query: { kind: KINDS.join(', '), state: STATES.join(', '), ...PAGING },
    rpc: `${SERVICE}/ListJobs`,
    request: ({ query }) => ({
      ...paging(query),
      kind: query.choice('kind', 'JOB_KIND', KINDS),
      state: query.choice('state', 'JOB_STATE', STATES),
    }),
  },
  {
    method: 'GET',
    url: '/api/v1/jobs/:job',
    summary: 'Show a job',
    rpc: `${SERVICE}/GetJob`,
    request: (input) => ({ name: jobName(input) }),
  },
  {
    method: 'POST',
    url: '/api/v1/jobs/:job/cancel',
    summary: 'Ask a job to stop',
    rpc: `${SERVICE}/CancelJob`,
    request: (input) => ({ name: jobName(input) }),
  },
];

/** @param stopping aborts when the gateway stops: streams end then */
export function jobRoutes(app: FastifyInstance, rpc: Rpc, stopping: AbortSignal): void {
  for (const route of routes) addRpcRoute(app, rpc, { ...route, tag: 'jobs' });
  const url = '/api/v1/jobs/:job/watch';
  let open = 0;
  app.get(url, {
    ...describe({
      url,
      tag: 'jobs',
      summary: 'Watch a job: server-sent events, each a Job, until it ends',
      answer: { ...answerOfMethod(WATCH), description: 'text/event-stream of Job' },
    }),
    handler: async (request, reply) => {
      if (open >= MAX_EVENT_STREAMS) {
        throw unavailable(`${open} event streams are open, which is the limit: try again later`);
      }
      open += 1;
      whenAnswered(reply, () => {
        open -= 1;
      });
      return watchJob(request, reply, rpc, stopping);
    },
  });
}

async function watchJob(
  request: FastifyRequest,
  reply: FastifyReply,
  rpc: Rpc,
  stopping: AbortSignal,
): Promise<FastifyReply> {
  const name = jobName(inputOf(request));
  const signal = AbortSignal.any([clientGone(reply), stopping]);
  const jobs = rpc.stream(WATCH, { name }, streamOptions(request, signal));
  const rest = jobs[Symbol.asyncIterator]();
  const first = await rest.next();
  if (first.done === true) throw new StatusError(Code.INTERNAL, `${WATCH} answered nothing`);
  reply
    .type(EVENT_STREAM_TYPE)
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no');
  return reply.send(Readable.from(eventText(first.value, rest, EVENT_HEARTBEAT_MS)));
}
