// What callers of a model see when the nodes that have it die one after the other.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code } from '../../common/status.ts';
import { createRing } from '../../control/ring.ts';
import { TINY_MLP, tinyMlpRequest, writeTinyRepository } from '../../loadtest/tiny-mlp.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import { type WholeCluster, wholeCluster } from '../support/whole-cluster.ts';

const INFER = '/inference.GRPCInferenceService/ModelInfer';
const CALLERS = 4;
const LONG_MS = 30_000;

function infer({ front }: WholeCluster, timeoutMs = LONG_MS) {
  return invokeUnary(front, INFER, tinyMlpRequest(), { timeoutMs });
}

/** Ids of the nodes that say that they have the model. */
async function holders({ registry }: WholeCluster): Promise<readonly string[]> {
  const copies = await registry.copies();
  const isReady = (id: string): boolean =>
    (copies.get(id) ?? []).some(({ model, state }) => model === TINY_MLP && state === 'READY');
  return [...copies.keys()].filter(isReady);
}

async function untilHeldBy(cluster: WholeCluster, id: string): Promise<void> {
  while ((await holders(cluster)).join() !== id) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("a dead node's model goes to its next candidate, and calls wait for it", async (t) => {
  const ends: (() => Promise<void>)[] = [];
  t.teardown(async () => {
    for (const end of ends.reverse()) await end();
  });
  const folder = await mkdtemp(join(tmpdir(), 'torus-repository-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const cluster = await wholeCluster((end) => ends.push(end));
  const ids = ['node-1', 'node-2', 'node-3'];
  const [home = '', next = '', last = ''] = createRing(ids).candidates(TINY_MLP);
  for (const id of [home, next]) await cluster.startNode(id);
  await writeTinyRepository(folder);
  await cluster.importRepository(folder);
  await untilHeldBy(cluster, home);

  let isOver = false;
  let answered = 0;
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!isOver) {
      await infer(cluster);
      answered += 1;
    }
  });
  cluster.kill(home);
  await untilHeldBy(cluster, next);
  const before = answered;
  while (answered < before + 100) await Promise.race([infer(cluster), ...callers]);
  isOver = true;
  await Promise.all(callers);

  cluster.kill(next);
  const error = await t.throwsAsync(infer(cluster, 300));
  t.is((error as { code?: Code }).code, Code.DEADLINE_EXCEEDED);
  const waiting = infer(cluster);
  await cluster.startNode(last);
  await t.notThrowsAsync(waiting);
  t.deepEqual(await holders(cluster), [last]);
});
