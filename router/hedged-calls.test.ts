// Calls that are sent to a second copy as well, over real connections: passed on as bytes, and as
// whole messages.
import test, { type ExecutionContext } from 'ava';
import { unavailable } from '../common/status.ts';
import { startEchoCluster } from '../test/support/echo-cluster.ts';
import { inferRequest } from '../test/support/raw-caller.ts';
import { until } from '../test/support/small-cluster.ts';
import { invokeUnary } from '../transport/invoke.ts';
import { MODEL_INFER } from './forward.ts';
import { CALLS_BEFORE } from './hedge-delay.ts';

const REQUEST = inferRequest(40);

async function scene(t: ExecutionContext, isPassing: boolean) {
  const cluster = await startEchoCluster(['a', 'b'], { isPassing, isHedged: true });
  t.teardown(() => cluster.stop());
  const [a, b] = cluster.nodes;
  if (a === undefined || b === undefined) throw new Error('two nodes were asked for');
  const call = async (): Promise<string> => {
    const { trailers } = await invokeUnary(cluster.client, MODEL_INFER, REQUEST, {
      timeoutMs: 20_000,
    });
    return String(trailers.find(([key]) => key === 'x-node')?.[1]);
  };
  const hedges = async (what: string): Promise<number> => {
    const metric = await cluster.metrics.getSingleMetric('torus_router_hedges_total')?.get();
    return metric?.values.find(({ labels }) => labels.what === what)?.value ?? 0;
  };
  for (let at = 0; at < CALLS_BEFORE + 10; at += 1) await call();
  return { a, b, call, hedges };
}

for (const isPassing of [true, false]) {
  const how = isPassing ? 'passed on' : 'whole';

  test(`${how}: a copy that does not answer costs a moment, and is told to stop`, async (t) => {
    const { a, call, hedges } = await scene(t, isPassing);
    a.hang();
    for (let at = 0; at < 20; at += 1) t.is(await call(), 'b');
    t.true((await hedges('won')) >= 1);
    await until('nothing is left at a', () => a.openCalls() === 0);
  });

  test(`${how}: a second copy that says no leaves the first to answer`, async (t) => {
    const { a, b, call } = await scene(t, isPassing);
    a.hang();
    b.fail(unavailable('full'));
    const answer = call();
    const hanging = await a.hanging;
    await until('b was asked', () => b.calls() > 0);
    hanging.succeed(new Uint8Array(0), [['x-node', 'a']]);
    t.is(await answer, 'a');
  });

  test(`${how}: of two that are on their way one may be lost`, async (t) => {
    const { a, b, call } = await scene(t, isPassing);
    a.hang();
    b.hang();
    const answer = call();
    const [, second] = await Promise.all([a.hanging, b.hanging]);
    a.stop();
    second.succeed(new Uint8Array(0), [['x-node', 'b']]);
    t.is(await answer, 'b');
  });
}
