// The router over a registry in memory and small nodes of this process, under virtual time.
import test, { type ExecutionContext } from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { Code, type CodeName, codeName, notFound, StatusError } from '../common/status.ts';
import {
  ModelInferRequest,
  ModelInferResponse,
  ModelStatisticsRequest,
  ModelStatisticsResponse,
  RepositoryIndexResponse,
} from '../proto/gen/inference/grpc_service.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import { assign, copy, entry, node, until } from '../test/support/small-cluster.ts';
import {
  type Backend,
  ConnectionLost,
  type Metadata,
  NO_METADATA,
  type UnaryCall,
} from '../transport/backend.ts';
import { invokeUnary } from '../transport/invoke.ts';
import { MODEL_INFER } from './forward.ts';
import { NODE_METHODS, type RouterOptions, startRouter } from './router.ts';
import { SUSPECT_MS } from './upstreams.ts';

const log = createLog({ role: 'test', level: 'silent' });
const FOREVER_MS = 1e9;

/** A node that answers with its own name; `fails` makes it do otherwise. */
class SmallNode implements Backend {
  readonly methods = NODE_METHODS;
  readonly id: string;
  readonly calls: UnaryCall[] = [];
  fails: ((call: UnaryCall) => void) | undefined;

  constructor(id: string) {
    this.id = id;
  }

  unary(call: UnaryCall): void {
    this.calls.push(call);
    if (this.fails !== undefined) this.fails(call);
    else if (call.path === MODEL_INFER) this.#infer(call);
    else this.#statistics(call);
  }

  #infer(call: UnaryCall): void {
    const { modelName, modelVersion } = ModelInferRequest.decode(call.request);
    const answer = ModelInferResponse.fromPartial({ modelName, modelVersion, id: this.id });
    call.succeed(ModelInferResponse.encode(answer).finish(), [['x-node', this.id]]);
  }

  #statistics(call: UnaryCall): void {
    const { name } = ModelStatisticsRequest.decode(call.request);
    const all = ['m', 'n'].filter((one) => name === '' || name === one);
    const modelStats = all.map((one) => ({ name: one, version: '1', inferenceCount: 1n }));
    const answer = ModelStatisticsResponse.fromPartial({ modelStats });
    call.succeed(ModelStatisticsResponse.encode(answer).finish());
  }

  stream(): void {}
}

function scene(ids: readonly string[], more: Partial<RouterOptions> = {}) {
  const clock = new VirtualClock();
  const registry = new MemoryRegistry(clock);
  const metrics = createMetrics();
  const nodes = new Map(ids.map((id) => [id, new SmallNode(id)]));
  const dialled: string[] = [];
  const router = startRouter({
    registry,
    clock,
    log,
    metrics,
    random: () => 0,
    version: '1.2.3',
    localBackends: nodes,
    connect: (address) => {
      dialled.push(address);
      return { ...new SmallNode(address), close: () => {}, drain: async () => {} } as never;
    },
    ...more,
  });
  const smallNode = (id: string): SmallNode => {
    const found = nodes.get(id);
    if (found === undefined) throw new Error(`no node ${id}`);
    return found;
  };
  return { clock, registry, router, metrics, smallNode, dialled };
}

type Scene = ReturnType<typeof scene>;

/** A model 'm' on these nodes. */
async function place(s: Scene, ids: readonly string[], isIdempotent = true): Promise<void> {
  await assign(s.registry, [entry('m', 1, { isIdempotent })]);
  for (const id of ids) await s.registry.putNode(node(id), [copy('m', 1)], FOREVER_MS);
  await until('ready', () => s.router.waitingFor().length === 0);
  await until('all are known', async () => (await metric(s, 'torus_router_nodes')) === ids.length);
}

interface Sent {
  readonly answer: Promise<{ node: string; version: string; trailers: Metadata }>;
  readonly code: Promise<CodeName>;
  readonly message: Promise<string>;
  isAnswered(): boolean;
  cancel(): void;
}

/** Sends an infer call whose deadline is on the virtual clock. */
function infer(s: Scene, model: string, more: { version?: string; timeoutMs?: number } = {}): Sent {
  const request = ModelInferRequest.encode(
    ModelInferRequest.fromPartial({ modelName: model, modelVersion: more.version ?? '' }),
  ).finish();
  return send(s, MODEL_INFER, request, more.timeoutMs ?? 10_000);
}

function send(s: Scene, path: string, request: Uint8Array, timeoutMs: number): Sent {
  const { promise, resolve, reject } = Promise.withResolvers<{
    node: string;
    version: string;
    trailers: Metadata;
  }>();
  let isAnswered = false;
  const call: UnaryCall & { isCancelled: boolean } = {
    path,
    metadata: [['x-trace', 'abc']],
    deadlineMs: s.clock.nowMs() + timeoutMs,
    peer: 'local',
    isCancelled: false,
    onCancel: undefined,
    request,
    succeed(response, trailers = NO_METADATA) {
      isAnswered = true;
      const { id, modelVersion } = ModelInferResponse.decode(response);
      resolve({ node: id, version: modelVersion, trailers });
    },
    fail(error) {
      isAnswered = true;
      reject(error);
    },
  };
  s.router.backend.unary(call);
  const failure = promise.then(
    () => undefined,
    (error: StatusError) => error,
  );
  return {
    answer: promise,
    code: failure.then((error) => (error === undefined ? 'OK' : codeName(error.code))),
    message: failure.then((error) => error?.message ?? ''),
    isAnswered: () => isAnswered,
    cancel() {
      call.isCancelled = true;
      call.onCancel?.();
    },
  };
}

async function metric(s: Scene, name: string, labels = ''): Promise<number> {
  const line = (await s.metrics.metrics())
    .split('\n')
    .find((one) => one.startsWith(`${name}${labels} `));
  return Number(line?.split(' ').at(-1) ?? Number.NaN);
}

test('a call goes to a READY copy: bytes, metadata and deadline as they came', async (t) => {
  const s = scene(['a']);
  await place(s, ['a']);
  const sent = infer(s, 'm', { timeoutMs: 1234 });
  t.like(await sent.answer, { node: 'a', version: '', trailers: [['x-node', 'a']] });
  const [got] = s.smallNode('a').calls;
  t.is(got?.deadlineMs, s.clock.nowMs() + 1234);
  t.deepEqual(got?.metadata, [['x-trace', 'abc']]);
  t.deepEqual(s.dialled, []);
  t.is(await metric(s, 'torus_router_requests_total', '{model="m",code="OK"}'), 1);
  s.router.stop();
});

test('unknown models and bad bytes are answered here', async (t) => {
  const s = scene(['a']);
  await place(s, ['a']);
  const unknown = infer(s, 'x');
  t.is(await unknown.code, 'NOT_FOUND');
  t.is(await unknown.message, "Request for unknown model: 'x' is not found");
  t.is(await infer(s, 'm', { version: '7' }).code, 'NOT_FOUND');
  t.is(await infer(s, 'm', { version: 'x' }).code, 'INVALID_ARGUMENT');
  t.is(await send(s, MODEL_INFER, Uint8Array.of(10, 200), 1000).code, 'INVALID_ARGUMENT');
  t.is(s.smallNode('a').calls.length, 0);
  t.is(await metric(s, 'torus_router_requests_total', '{model="_other",code="NOT_FOUND"}'), 1);
  s.router.stop();
});

test('a call for a model between copies waits, and goes on when one is READY', async (t) => {
  const s = scene(['a']);
  await place(s, ['a']);
  await s.registry.putCopies('a', 'a-1', [copy('m', 1, 'LOADING')]);
  const sent = await waits(t, s);
  await s.registry.putCopies('a', 'a-1', [copy('m', 1)]);
  t.is((await sent.answer).node, 'a');
  t.is(await metric(s, 'torus_router_waiting_calls'), 0);
  s.router.stop();
});

/** Sends calls until one waits: the router hears of changes a moment later. */
async function waits(t: ExecutionContext, s: Scene, timeoutMs = 10_000): Promise<Sent> {
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve));
    const sent = infer(s, 'm', { timeoutMs });
    if (!sent.isAnswered()) {
      t.is(await metric(s, 'torus_router_waiting_calls'), 1);
      return sent;
    }
  }
}

test('it waits to its deadline, no longer', async (t) => {
  const s = scene(['a']);
  await place(s, ['a']);
  await s.registry.putCopies('a', 'a-1', []);
  const sent = await waits(t, s, 500);
  s.clock.advance(480);
  t.false(sent.isAnswered());
  s.clock.advance(20);
  t.is(await sent.code, 'DEADLINE_EXCEEDED');
  t.regex(await sent.message, /no copy of model 'm' became ready/);
  s.router.stop();
});

test('waiting is bounded, and a waiting call can be cancelled', async (t) => {
  const s = scene(['a'], { waitingLimits: { maxCalls: 1, maxBytes: 1000 } });
  await place(s, ['a']);
  await s.registry.putCopies('a', 'a-1', []);
  const first = await waits(t, s);
  t.is(await infer(s, 'm').code, 'UNAVAILABLE');
  first.cancel();
  t.is(await metric(s, 'torus_router_waiting_calls'), 0);
  const second = await waits(t, s);
  s.router.stop();
  t.is(await second.code, 'UNAVAILABLE');
  t.regex(await second.message, /shutting down/);
});

const lose =
  (mayHaveRun: boolean) =>
  (call: UnaryCall): void =>
    call.fail(new ConnectionLost('gone', mayHaveRun));

test('a lost node: an idempotent call goes to another copy, once', async (t) => {
  const s = scene(['a', 'b', 'c']);
  await place(s, ['a', 'b', 'c']);
  s.smallNode('a').fails = lose(true);
  t.is((await infer(s, 'm').answer).node, 'b');
  t.is(await metric(s, 'torus_router_retries_total{reason="connection-lost"}'), 1);
  // a is suspected now: b and c take the calls.
  t.not((await infer(s, 'm').answer).node, 'a');
  t.is(s.smallNode('a').calls.length, 1);

  s.clock.advance(SUSPECT_MS);
  for (const id of ['b', 'c']) s.smallNode(id).fails = lose(true);
  t.is(await infer(s, 'm').code, 'UNAVAILABLE', 'a request that kills nodes kills two');
  const hit = ['a', 'b', 'c'].map((id) => s.smallNode(id).calls.length);
  t.is(hit.reduce((sum, count) => sum + count) - 3, 2);
  s.router.stop();
});

test('a call that is not idempotent is sent again only if it surely did not run', async (t) => {
  const s = scene(['a', 'b']);
  await place(s, ['a', 'b'], false);
  s.smallNode('a').fails = lose(true);
  t.is(await infer(s, 'm').code, 'UNAVAILABLE');
  t.is(s.smallNode('b').calls.length, 0);
  s.clock.advance(SUSPECT_MS);
  s.smallNode('a').fails = lose(false);
  t.is((await infer(s, 'm').answer).node, 'b');
  s.router.stop();
});

test('when the only node is lost the call waits for its return', async (t) => {
  const s = scene(['a']);
  await place(s, ['a']);
  s.smallNode('a').fails = lose(false);
  const sent = infer(s, 'm');
  t.false(sent.isAnswered());
  s.smallNode('a').fails = undefined;
  s.clock.advance(SUSPECT_MS);
  t.is((await sent.answer).node, 'a');
  s.router.stop();
});

test("a handler's own UNAVAILABLE: another copy is asked, nobody is suspected", async (t) => {
  const s = scene(['a', 'b']);
  await place(s, ['a', 'b']);
  const full = new StatusError(Code.UNAVAILABLE, 'Exceeds maximum queue size');
  s.smallNode('a').fails = (call) => call.fail(full);
  t.is((await infer(s, 'm').answer).node, 'b');
  s.smallNode('b').fails = (call) => call.fail(full);
  t.is(await infer(s, 'm').message, 'Exceeds maximum queue size');
  s.smallNode('a').fails = undefined;
  t.is((await infer(s, 'm').answer).node, 'a', 'it is not suspected');
  s.router.stop();
});

test('second tries are few: who is full is not asked twice for every call', async (t) => {
  const s = scene(['a', 'b']);
  await place(s, ['a', 'b']);
  const held: UnaryCall[] = [];
  for (const id of ['a', 'b']) s.smallNode(id).fails = (call) => held.push(call);
  const sent = Array.from({ length: 10 }, () => infer(s, 'm'));
  const full = new StatusError(Code.UNAVAILABLE, 'Exceeds maximum queue size');
  for (const call of held.splice(0)) call.fail(full);
  t.is(held.length, 3, 'of ten calls three are sent on');
  for (const call of held.splice(0)) call.fail(full);
  for (const one of sent) t.is(await one.code, 'UNAVAILABLE');
  s.router.stop();
});

test('a node that has unloaded the model meanwhile is passed over', async (t) => {
  const s = scene(['a', 'b']);
  await place(s, ['a', 'b']);
  s.smallNode('a').fails = (call) => call.fail(notFound('not here'));
  t.is((await infer(s, 'm').answer).node, 'b');
  s.smallNode('b').fails = (call) => call.fail(notFound('nor here'));
  const sent = infer(s, 'm');
  t.is(await sent.code, 'NOT_FOUND');
  t.is(await sent.message, 'nor here');
  s.router.stop();
});

test('a cancel reaches the node; its answer then counts for nothing', async (t) => {
  const s = scene(['a']);
  await place(s, ['a']);
  let held: UnaryCall | undefined;
  const cancelled: string[] = [];
  s.smallNode('a').fails = (call) => {
    held = call;
    call.onCancel = () => cancelled.push('a');
  };
  const sent = infer(s, 'm');
  sent.cancel();
  t.deepEqual(cancelled, ['a']);
  t.true(held?.isCancelled);
  held?.succeed(new Uint8Array());
  t.false(sent.isAnswered());
  t.is(await metric(s, 'torus_router_requests_total', '{model="m",code="CANCELLED"}'), 1);
  s.router.stop();
});

test('of several versions the chosen one is told to the node', async (t) => {
  const s = scene(['a']);
  await assign(s.registry, [entry('m', 3, { weight: 0.5 }), entry('m', 12, { weight: 0.5 })]);
  await s.registry.putNode(node('a'), [copy('m', 3), copy('m', 12)], FOREVER_MS);
  await until('ready', () => s.router.waitingFor().length === 0);
  t.is((await infer(s, 'm').answer).version, '3');
  t.is((await infer(s, 'm', { version: '12' }).answer).version, '12');
  s.router.stop();
});

test('the router answers for the cluster: readiness, index, statistics', async (t) => {
  const s = scene(['a', 'b']);
  await assign(s.registry, [entry('m', 1), entry('n', 1, { nodes: ['b'] })]);
  await s.registry.putNode(node('a'), [copy('m', 1)], FOREVER_MS);
  await s.registry.putNode(node('b'), [copy('m', 1), copy('n', 1, 'FAILED')], FOREVER_MS);
  await until('ready', () => s.router.waitingFor().length === 0);
  const ask = async (method: string, request = new Uint8Array()) => {
    const path = `/inference.GRPCInferenceService/${method}`;
    return (await invokeUnary(s.router.backend, path, request)).response;
  };
  t.deepEqual([...(await ask('ServerReady'))], [8, 1]);
  t.deepEqual([...(await ask('ServerLive'))], [8, 1]);
  const name = (model: string) => ModelStatisticsRequest.encode({ name: model, version: '' });
  t.deepEqual([...(await ask('ModelReady', name('m').finish()))], [8, 1]);
  t.deepEqual([...(await ask('ModelReady', name('n').finish()))], []);
  t.deepEqual([...(await ask('ModelReady', name('x').finish()))], []);
  const index = RepositoryIndexResponse.decode(await ask('RepositoryIndex'));
  t.deepEqual(
    index.models.map((one) => [one.name, one.version, one.state, one.reason]),
    [
      ['m', '1', 'READY', ''],
      ['n', '1', 'UNAVAILABLE', 'corrupt file'],
    ],
  );
  const statistics = ModelStatisticsResponse.decode(await ask('ModelStatistics')).modelStats;
  t.deepEqual(
    statistics.map((one) => [one.name, one.inferenceCount]),
    [
      ['m', 2n],
      ['n', 2n],
    ],
  );
  const unknown = ask('ModelStatistics', name('x').finish());
  t.is((await t.throwsAsync(unknown, { instanceOf: StatusError }))?.code, Code.INVALID_ARGUMENT);
  s.router.stop();
});
