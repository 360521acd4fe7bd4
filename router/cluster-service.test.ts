// What the router answers itself, over a route table that the test changes.
import test from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { Code, invalidArgument, StatusError } from '../common/status.ts';
import {
  ModelStatisticsRequest,
  RepositoryIndexResponse,
  RepositoryModelUnloadRequest,
} from '../proto/gen/inference/grpc_service.ts';
import type { AssignmentEntry, CopyRecord } from '../registry/registry.ts';
import { copy, entry, node, plan, until } from '../test/support/small-cluster.ts';
import type { Backend } from '../transport/backend.ts';
import { invokeUnary } from '../transport/invoke.ts';
import { clusterService, UNLOAD_WAIT_MS } from './cluster-service.ts';
import { RouteTable } from './route-table.ts';
import { NODE_METHODS } from './router.ts';
import { Upstreams } from './upstreams.ts';

const SERVICE = '/inference.GRPCInferenceService';
const UNLOADED = { weight: 0, nodes: [], reason: 'unloaded' };

/** A node that has let go of every model. */
const stranger: Backend = {
  methods: NODE_METHODS,
  unary: (call) => call.fail(invalidArgument("requested model 'm' is not available")),
  stream: () => {},
};

function scene() {
  const clock = new VirtualClock();
  const table = new RouteTable();
  const connect = () => {
    throw new Error('nobody is to be dialled');
  };
  const upstreams = new Upstreams({
    ...{ connect, localBackends: new Map([['a', stranger]]) },
    ...{ random: () => 0, onEjected: () => {} },
  });
  let next = Promise.withResolvers<void>();
  let revision = 0;
  const become = (entries: readonly AssignmentEntry[], copies: readonly CopyRecord[]) => {
    revision += 1;
    table.addShards(plan(entries, revision));
    table.setNodes([node('a')], new Map([['a', copies]]));
    upstreams.follow(table.nodes(), clock.nowMs());
    next.resolve();
    next = Promise.withResolvers();
  };
  const asked: string[] = [];
  const control = {
    loadModel: async () => {},
    unloadModel: async (model: string) => void asked.push(model),
  };
  const backend = clusterService({
    ...{ table, upstreams, control, clock, version: '1' },
    log: createLog({ role: 'test', level: 'silent' }),
    isReady: () => true,
    othersRefreshed: async () => void asked.push('others'),
    nextChange: (signal) =>
      Promise.race([
        next.promise,
        new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
      ]),
  });
  const ask = async (method: string, request: Uint8Array) =>
    (await invokeUnary(backend, `${SERVICE}/${method}`, request)).response;
  return { clock, become, asked, ask };
}

test('statistics of a model between two copies are not there yet, no mistake', async (t) => {
  const { become, ask } = scene();
  const statistics = async (name: string) => {
    const request = ModelStatisticsRequest.encode({ name, version: '' }).finish();
    return await t.throwsAsync(ask('ModelStatistics', request), { instanceOf: StatusError });
  };
  become([entry('m', 1)], [copy('m', 1, 'LOADING')]);
  const coming = await statistics('m');
  t.like(coming, { code: Code.UNAVAILABLE });
  t.regex(coming?.message ?? '', /^model 'm' has no ready copy at the moment: ask again/);
  become([entry('m', 1)], [copy('m', 1)]);
  t.like(await statistics('m'), { code: Code.UNAVAILABLE, message: coming?.message });
  become([entry('m', 1, { nodes: ['a'] })], [copy('m', 1, 'FAILED')]);
  t.regex((await statistics('m'))?.message ?? '', /not at ready state \(FAILED: corrupt file\)/);
  become([entry('m', 1, UNLOADED)], []);
  t.like(await statistics('m'), { code: Code.INVALID_ARGUMENT });
  t.like(await statistics('x'), { code: Code.INVALID_ARGUMENT });
});

test('an unload is answered when the plan is here, so the index says it at once', async (t) => {
  const { become, asked, ask, clock } = scene();
  const request = RepositoryModelUnloadRequest.fromPartial({ modelName: 'm' });
  const unload = () =>
    ask('RepositoryModelUnload', RepositoryModelUnloadRequest.encode(request).finish());
  become([entry('m', 1)], [copy('m', 1)]);
  let answers = 0;
  const count = () => {
    answers += 1;
  };
  void unload().then(count);
  await until('control is asked', () => asked.length === 1);
  t.is(answers, 0);
  become([entry('m', 1, UNLOADED)], [copy('m', 1)]);
  await until('it is answered', () => answers === 1);
  const index = RepositoryIndexResponse.decode(await ask('RepositoryIndex', new Uint8Array()));
  t.like(index.models[0], { name: 'm', version: '1', state: 'UNLOADING' });
  t.deepEqual(asked, ['m', 'others'], 'the routers of other threads know it too');

  // When nobody plans, it is answered all the same.
  become([entry('m', 1)], [copy('m', 1)]);
  void unload().then(count);
  await until('it is answered', () => {
    clock.advance(UNLOAD_WAIT_MS);
    return answers === 2;
  });
  t.pass();
});
