// A node that is to end: what it tells, and how long it serves on.
import test from 'ava';
import { floats, infer } from '../test/support/inference-client.ts';
import { ONES, oneNode, untilTold } from '../test/support/one-node.ts';
import { assign, copy, node as nodeRecord, until } from '../test/support/small-cluster.ts';
import { addModel } from '../test/support/tiny-onnx.ts';
import { DRAIN_SETTLE_MS } from './node.ts';

test('draining is told, and the end too', async (t) => {
  const all = await oneNode(t);
  await assign(all.registry, [await all.publish('add', 1, addModel(2))]);
  const node = await all.start();
  await untilTold(all, 'add/1 READY');
  let isDrained = false;
  const drained = node.drain().then(() => {
    isDrained = true;
  });
  await until('DRAINING', async () => (await all.registry.nodes())[0]?.state === 'DRAINING');
  t.is(node.health.isServing(''), false);
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(floats(await infer(node.backend, 'add', ONES)), [11, 22]);
  t.false(isDrained);
  all.clock.advance(DRAIN_SETTLE_MS);
  await drained;
  await node.stop();
  t.deepEqual(await all.registry.nodes(), []);
});

test('a node that leaves a cluster serves on until its copies are READY elsewhere', async (t) => {
  const all = await oneNode(t);
  const one = await all.publish('add', 1, addModel(2));
  await assign(all.registry, [one]);
  const node = await all.start(undefined, undefined, 60_000);
  await untilTold(all, 'add/1 READY');
  let isDrained = false;
  const drained = node.drain().then(() => {
    isDrained = true;
  });
  await until('DRAINING', async () => (await all.registry.nodes())[0]?.state === 'DRAINING');
  await all.registry.putNode(nodeRecord('n2'), [], 1e9);
  await assign(all.registry, [{ ...one, nodes: ['n2'] }], 2);
  all.clock.advance(5_000);
  t.true(node.health.isServing(''));
  t.deepEqual(floats(await infer(node.backend, 'add', ONES)), [11, 22]);
  const arrived = copy('add', 1, 'READY', { manifestSha256: one.manifestSha256 });
  await all.registry.putCopies('n2', 'n2-1', [arrived]);
  await until('drained', () => {
    all.clock.advance(100);
    return isDrained;
  });
  await drained;
  t.false(node.health.isServing(''));
});

test('a node whose copies nobody takes drains all the same, later', async (t) => {
  const all = await oneNode(t);
  await assign(all.registry, [await all.publish('add', 1, addModel(2))]);
  const node = await all.start(undefined, undefined, 3_000);
  await untilTold(all, 'add/1 READY');
  const startMs = all.clock.nowMs();
  let isDrained = false;
  void node.drain().then(() => {
    isDrained = true;
  });
  await until('drained', () => {
    if (!isDrained) all.clock.advance(10);
    return isDrained;
  });
  t.true(all.clock.nowMs() - startMs >= 3_000 + DRAIN_SETTLE_MS);
});
