import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { copy, entry, node, plan, until } from '../test/support/small-cluster.ts';
import { encodeRoutes, openRouteFile, restoreRoutes, SAVE_AFTER_MS } from './route-file.ts';
import { RouteTable } from './route-table.ts';

const log = createLog({ role: 'test', level: 'silent' });
const pause = (): Promise<void> => Promise.resolve();

function knowing(revision = 1): RouteTable {
  const table = new RouteTable();
  table.addShards(plan([entry('m', 1, { nodes: ['a'] })], revision));
  table.setNodes([node('a')], new Map([['a', [copy('m', 1)]]]));
  return table;
}

async function folder(t: ExecutionContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'torus-routes-'));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return made;
}

test('what was written routes as before; the registry then has the last word', (t) => {
  const table = new RouteTable();
  t.true(restoreRoutes(table, encodeRoutes(knowing())));
  t.like(table.resolve('m', undefined, Math.random), { kind: 'ready', nodes: ['a'] });
  t.true(table.isComplete);
  table.addShards(plan([], 2));
  t.is(table.shard(0)?.revision, 2);
});

test('a file with one bit wrong, or cut off, is left aside as a whole', (t) => {
  const text = encodeRoutes(knowing());
  const wrong = [
    text.slice(0, -1),
    text.replace('\\"epoch\\":1', '\\"epoch\\":3'),
    text.replace('SERVING', 'SERVINH'),
    '',
    'null',
  ];
  for (const one of wrong) {
    const table = new RouteTable();
    t.not(one, text);
    t.false(restoreRoutes(table, one));
    t.is([...table.nodes()].length, 0);
    t.false(table.isComplete);
  }
});

test('changes are kept a moment later, and at the end; the next start has them', async (t) => {
  const clock = new VirtualClock();
  const options = { folder: await folder(t), clock, log, pause };
  const path = join(options.folder, 'routes.json');
  const file = await openRouteFile(options);
  t.false(file.restore(new RouteTable()));
  file.changed(knowing());
  clock.advance(SAVE_AFTER_MS);
  await until('written', async () => (await readFile(path, 'utf8').catch(() => '')) !== '');
  t.is(await readFile(path, 'utf8'), encodeRoutes(knowing()));
  file.changed(knowing(7));
  await file.close();
  const next = new RouteTable();
  t.true((await openRouteFile(options)).restore(next));
  t.is(next.shard(0)?.revision, 7);
});

test('a folder that is gone, or a file that is none, keeps nobody from routing', async (t) => {
  const options = { folder: await folder(t), clock: new VirtualClock(), log, pause };
  await writeFile(join(options.folder, 'routes.json'), 'x');
  const file = await openRouteFile(options);
  t.false(file.restore(new RouteTable()));
  await rm(options.folder, { recursive: true });
  file.changed(knowing());
  await t.notThrowsAsync(file.close());
});
