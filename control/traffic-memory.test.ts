import test from 'ava';
import { Catalog } from '../catalog/catalog.ts';
import { createLog } from '../common/log.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { MAX_REMEMBERED_MODELS, REMEMBER_EVERY_MS, TrafficMemory } from './traffic-memory.ts';

function made(catalog = new Catalog(new MemoryDocuments())) {
  const time = { nowMs: 0 };
  const log = createLog({ level: 'silent' });
  const memory = new TrafficMemory({ catalog, log, nowMs: () => time.nowMs });
  return { catalog, memory, time };
}

const entry = (model: string, trafficRank: number, weight = 1) => ({ model, weight, trafficRank });

test('another leader finds the ranks of before; little traffic is not kept', async (t) => {
  const { catalog, memory } = made();
  t.deepEqual([...(await memory.recall())], []);
  await memory.keep([entry('a', 3), entry('b', 0), entry('c', 7, 0), entry('d', 9)], 1);
  t.deepEqual(Object.fromEntries(await made(catalog).memory.recall()), { a: 3, d: 9 });
});

test('it is written now and then, and when it has changed', async (t) => {
  const { catalog, memory, time } = made();
  const revision = async () => (await catalog.get('traffic', 'ranks'))?.revision;
  await memory.keep([entry('a', 1)], 1);
  const first = await revision();
  time.nowMs = REMEMBER_EVERY_MS - 1;
  await memory.keep([entry('a', 2)], 1);
  t.is(await revision(), first);
  time.nowMs += 1;
  await memory.keep([entry('a', 1)], 1);
  t.is(await revision(), first, 'as it was');
  await memory.keep([entry('a', 2)], 1);
  t.deepEqual(Object.fromEntries(await memory.recall()), { a: 2 });
});

test('who led before writes nothing over what the leader wrote', async (t) => {
  const { catalog, memory } = made();
  await memory.keep([entry('a', 2)], 5);
  await made(catalog).memory.keep([entry('a', 1)], 4);
  t.deepEqual(Object.fromEntries(await memory.recall()), { a: 2 });
});

test('of very many models the busiest are kept', async (t) => {
  const { memory } = made();
  const many = Array.from({ length: MAX_REMEMBERED_MODELS + 1 }, (_, at) => entry(`m${at}`, 1));
  await memory.keep([...many, entry('last', 2)], 1);
  const kept = await memory.recall();
  t.is(kept.size, MAX_REMEMBERED_MODELS);
  t.is(kept.get('last'), 2);
});
