// The roles as processes of their own, around Redis and PostgreSQL: a model is imported over REST
// and called through a router while nodes die, drain and come back, and while the servers around
// them are away; and the demo's path, from rows to a served model, goes across them.
import test, { type ExecutionContext } from 'ava';
import { TINY_MLP } from '../../loadtest/tiny-mlp.ts';
import { hasPostgres } from '../support/postgres-server.ts';
import { NO_REDIS, redisProgram } from '../support/redis-server.ts';
import {
  callers,
  publish,
  type RoleCluster,
  roleCluster,
  untilHeldBy,
} from '../support/role-cluster.ts';
import { skip } from '../support/skip.ts';
import { type RoleProcess, torus } from '../support/torus-process.ts';

/** From rows to answers, with the commands of the README. */
async function trainAndPredict(t: ExecutionContext, all: RoleCluster): Promise<void> {
  const trainer = await all.startTrainer();
  const server = ['--server', `http://${all.gateway.at.http}`];
  const run = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await torus([...args, ...server]);
    if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  await run('dataset', 'add', 'penguins', 'test/testdata/penguins/penguins.json');
  const train = '--dataset penguins --target species --model penguins --epochs 5 --seed 1';
  await run('train', ...train.split(' '));
  const lengths = { bill_length_mm: 50, bill_depth_mm: 15, flipper_length_mm: 220 };
  const row = { island: 'Biscoe', ...lengths, body_mass_g: 5000, sex: null };
  t.regex(await run('predict', 'penguins', JSON.stringify(row)), /Adelie|Gentoo|Chinstrap/);
  t.regex(await run('status'), /^penguins +1 +100% +1\/1 /m);
  t.is(await trainer.end('SIGTERM'), 0);
}

/** Calls go on all the while; nodes a and b have the model. */
async function nodesDieAndDrain(t: ExecutionContext, all: RoleCluster, a: RoleProcess) {
  const calling = callers(t, all.router);
  await calling.goesOn();
  await a.end('SIGKILL');
  await calling.goesOn();
  const again = await all.startNode('a');
  await untilHeldBy(all, 'a', 'b');
  // Copies get new homes, the one that nobody else has too.
  const c = await all.startNode('c');
  t.is(await again.end('SIGTERM'), 0);
  await untilHeldBy(all, 'b', 'c');
  await calling.goesOn();
  await calling.end();
  return c;
}

/** Router and node begin anew with what they have on disk: nobody tells them anything. */
async function startAlone(t: ExecutionContext, all: RoleCluster, c: RoleProcess): Promise<void> {
  await Promise.all([all.redis.kill(), all.postgres.stop()]);
  t.is(await all.router.end('SIGTERM'), 0);
  await c.end('SIGKILL');
  const [router] = await Promise.all([all.startRouter(), all.startNode('c', portOf(c))]);
  const calling = callers(t, router);
  await calling.goesOn();
  await calling.end();
}

function portOf({ at }: RoleProcess): string {
  return at.grpc?.split(':')[1] ?? '';
}

test('roles apart: rows become models; nodes die, drain, come back; no call fails', async (t) => {
  if (redisProgram() === undefined) return skip(t, NO_REDIS);
  if (!hasPostgres) return skip(t, 'no PostgreSQL: run scripts/ci-setup');
  const all = await roleCluster(t);
  const [a, b] = await Promise.all([all.startNode('a'), all.startNode('b')]);
  await Promise.all([trainAndPredict(t, all), publish(all, 2)]);
  await untilHeldBy(all, 'a', 'b');
  const data = Array.from({ length: 16 }, (_, at) => at / 16);
  const inputs = [{ name: 'x', shape: [1, 16], datatype: 'FP32', data }];
  const { outputs } = await all.rest('POST', `/v2/models/${TINY_MLP}/infer`, { inputs });
  t.is((outputs as { data: number[] }[])[0]?.data.length, 4);

  for (const { at } of [all.router, all.control, all.gateway, a]) {
    const [ready, metrics] = await Promise.all(
      ['readyz', 'metrics'].map((page) => fetch(`http://${at.metrics}/${page}`)),
    );
    t.is(ready?.status, 200);
    t.regex((await metrics?.text()) ?? '', /^torus_/m);
  }
  const c = await nodesDieAndDrain(t, all, a);
  // Now c is the only one that has it.
  t.is(await b.end('SIGTERM'), 0);
  await untilHeldBy(all, 'c');
  await startAlone(t, all, c);
});
