// A router that stands before another one of its process: it answers what is READY, the lead the
// rest.
import test, { type ExecutionContext } from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { type StatusError, unavailable } from '../common/status.ts';
import {
  ModelInferRequest,
  ModelInferResponse,
  RepositoryIndexResponse,
} from '../proto/gen/inference/grpc_service.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import { assign, copy, entry, node, until } from '../test/support/small-cluster.ts';
import type { Backend, UnaryCall } from '../transport/backend.ts';
import { invokeUnary } from '../transport/invoke.ts';
import { MODEL_INFER } from './forward.ts';
import { NODE_METHODS, startRouter } from './router.ts';

const log = createLog({ role: 'test', level: 'silent' });
const INDEX = '/inference.GRPCInferenceService/RepositoryIndex';

/** A node that answers with the name of whose it is. */
class OwnNode implements Backend {
  readonly methods = NODE_METHODS;
  readonly owner: string;
  refusal: StatusError | undefined;

  constructor(owner: string) {
    this.owner = owner;
  }

  unary(call: UnaryCall): void {
    const answer = ModelInferResponse.fromPartial({ id: this.owner });
    if (this.refusal !== undefined) call.fail(this.refusal);
    else call.succeed(ModelInferResponse.encode(answer).finish());
  }

  stream(): void {}
}

function scene(t: ExecutionContext) {
  const clock = new VirtualClock();
  const registry = new MemoryRegistry(clock);
  const make = (own: Backend, lead?: Backend) => {
    const metrics = createMetrics();
    const router = startRouter({
      ...{ registry, clock, log, metrics, random: () => 0, version: '1' },
      connect: () => {
        throw new Error('there are no other nodes');
      },
      localBackends: new Map([['a', own]]),
      ...(lead && { lead }),
    });
    t.teardown(() => router.stop());
    return { router, metrics };
  };
  const [leadNode, sideNode] = [new OwnNode('lead'), new OwnNode('side')];
  const lead = make(leadNode);
  const handed: string[] = [];
  const { backend } = lead.router;
  const side = make(sideNode, {
    methods: backend.methods,
    unary(call) {
      handed.push(call.path);
      backend.unary(call);
    },
    stream: (call) => backend.stream(call),
  });
  const infer = async (modelName: string): Promise<string> => {
    const request = ModelInferRequest.encode(ModelInferRequest.fromPartial({ modelName }));
    const { response } = await invokeUnary(side.router.backend, MODEL_INFER, request.finish());
    return ModelInferResponse.decode(response).id;
  };
  return { registry, lead, side, sideNode, handed, infer };
}

test('what is READY is answered first, the lead has the last word on the rest', async (t) => {
  const { registry, lead, side, handed, infer } = scene(t);
  await assign(registry, [entry('m', 1), entry('later', 1)]);
  await registry.putNode(node('a'), [copy('m', 1)], 1e9);
  await side.router.refresh();
  t.is(await infer('m'), 'side');
  t.deepEqual(handed, []);
  await t.throwsAsync(infer('x'), { message: "Request for unknown model: 'x' is not found" });
  t.deepEqual(handed, [MODEL_INFER]);

  const waiting = infer('later');
  const waits = async (): Promise<boolean> =>
    /torus_router_waiting_calls 1/.test(await lead.metrics.metrics());
  await until('it waits at the lead', waits);
  await registry.putNode(node('a'), [copy('m', 1), copy('later', 1)], 1e9);
  t.is(await waiting, 'lead');

  const { response } = await invokeUnary(side.router.backend, INDEX, new Uint8Array());
  t.is(RepositoryIndexResponse.decode(response).models.length, 2);
  t.is(handed.at(-1), INDEX);
  const counts = await Promise.all([side, lead].map(({ metrics }) => metrics.metrics()));
  t.regex(counts[0] ?? '', /torus_router_requests_total\{model="m",code="OK"\} 1/);
  t.notRegex(counts[0] ?? '', /NOT_FOUND|later/, 'the lead has counted what it answered');
  t.regex(counts[1] ?? '', /torus_router_requests_total\{model="later",code="OK"\} 1/);
});

test('what a node has refused is not asked of the lead again', async (t) => {
  const { registry, side, sideNode, handed, infer } = scene(t);
  await assign(registry, [entry('m', 1)]);
  await registry.putNode(node('a'), [copy('m', 1)], 1e9);
  await side.router.refresh();
  sideNode.refusal = unavailable('the queue is full');
  await t.throwsAsync(infer('m'), { message: 'the queue is full' });
  t.deepEqual(handed, []);
});
