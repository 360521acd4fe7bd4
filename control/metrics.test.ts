import test from 'ava';
import { Catalog } from '../catalog/catalog.ts';
import { createMetrics, renderMetrics, snapshot } from '../common/metrics.ts';
import { unavailable } from '../common/status.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { controlMetrics } from './metrics.ts';

test('a catalog that is away takes no other metrics with it', async (t) => {
  const metrics = createMetrics();
  const store = new MemoryDocuments();
  let isAway = false;
  const list = store.list.bind(store);
  store.list = (...args) => (isAway ? Promise.reject(unavailable('away')) : list(...args));
  let nowMs = 0;
  controlMetrics({ metrics, catalog: new Catalog(store), nowMs: () => nowMs }).leads(7);
  const page = async (): Promise<string> => await renderMetrics([await snapshot(metrics)]);
  t.regex(await page(), /torus_jobs\{kind="train",state="QUEUED"\} 0/);
  isAway = true;
  nowMs += 60_000;
  const told = await page();
  t.regex(told, /torus_leader_epoch 7/);
  t.regex(told, /torus_jobs\{kind="train",state="QUEUED"\} 0/);
});

test('a plan tells what it moved and how long it took; how old it is grows', async (t) => {
  const metrics = createMetrics();
  let nowMs = 0;
  const catalog = new Catalog(new MemoryDocuments());
  const told = controlMetrics({ metrics, catalog, nowMs: () => nowMs });
  const page = async (): Promise<string> => await renderMetrics([await snapshot(metrics)]);
  t.regex(await page(), /torus_registry_staleness_seconds Nan/i);
  const counts = { nodes: 2, copiesWanted: 3, copiesReady: 3, revision: 1 };
  const report = { ...counts, copiesByNode: new Map(), copiesMoved: 2, planSeconds: 0.5 };
  told.planned(report);
  told.planned(report);
  nowMs += 3_000;
  const text = await page();
  t.regex(text, /torus_copies_moved_total 4/);
  t.regex(text, /torus_plan_seconds 0.5/);
  t.regex(text, /torus_registry_staleness_seconds 3/);
});
