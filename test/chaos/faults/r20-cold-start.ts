// R20: everything is started at once with nothing on any disk but the catalog's and the blob
// store's, and callers are there from the first moment: most of them for a few of the models.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type CountingFront, countingFront } from '../../support/counting-front.ts';
import { pause, untilTrue } from '../../support/redis-server.ts';
import { hasS3 } from '../../support/s3-server.ts';
import type { CheckedModel } from '../checked-model.ts';
import { type ChaosCluster, USUAL_CLUSTER } from '../cluster.ts';
import { atMost, type Criterion, type Fault, NotHere, none, type Stage } from '../fault.ts';
import { inOrder, loadsIn, mostAtATime } from '../loads-log.ts';
import { planting } from '../planted.ts';

const FULL = { models: 200, trafficMs: 15_000, afterMs: 5_000 };
const SHORT = { models: 40, trafficMs: 2_000, afterMs: 0 };
const MOST_LOADS = 2;
/** Of what is loaded on a node, the busier one of two comes first so often: 0.5 is by chance. */
const LEAST_IN_ORDER = 0.75;
/** A manifest and a file, once on each node that holds it, and a tenth for what is tried again. */
const MOST_READS = 1.1;
const RATE_PER_SECOND = 300;
const COLD_TIMEOUT_MS = 120_000;

export const coldStart: Fault = {
  id: 'R20',
  title: 'everything starts at once, cold',
  async run(stage, form) {
    if (!hasS3) throw new NotHere('no S3 service (scripts/ci-setup installs one)');
    const { models: count, trafficMs, afterMs } = form === 'full' ? FULL : SHORT;
    const { cluster, front } = await frontedCluster(stage);
    const models = await plantModels(cluster, count);
    const traffic = byTraffic(models);
    await allReady(cluster, models);
    const load = await stage.load(cluster, { models: traffic, ratePerSecond: RATE_PER_SECOND });
    await pause(trafficMs);
    stage.note(`${count} models are there, and their callers`);
    const stopMs = performance.now();
    await emptied(cluster);
    front().mostAtATime();
    front().reads();
    await cluster.surroundings.redis.start();
    const startMs = performance.now();
    await Promise.all(cluster.members.map((member) => member.start()));
    const upMs = performance.now();
    await allReady(cluster, models);
    const readyMs = performance.now();
    await pause(afterMs);
    await load.stop();
    stage.note(`all READY ${((readyMs - startMs) / 1_000).toFixed(1)} s after the start`);
    const all = load.book.figures();
    const after = load.book.figures({ fromMs: readyMs });
    const words = load.book.failureWords(stopMs, ({ dueMs }) => dueMs >= readyMs);
    const busiest = models.slice(0, Math.ceil(count / 10));
    const isBusy = (model: number): boolean =>
      busiest.some(({ name }) => name === traffic[model]?.name);
    const early = load.book.figures({ fromMs: upMs, toMs: readyMs, model: isBusy });
    const criteria: Criterion[] = [
      ...loadCriteria(cluster, traffic),
      ...readCriteria(front(), cluster, models),
      none('wrong answers: 0', all.wrong, `${all.calls} calls`),
      none('failed calls once all are READY: 0', after.failed, `${after.calls} calls`, words),
    ];
    const seconds = ((readyMs - startMs) / 1_000).toFixed(1);
    const deed =
      `${count} models READY after ${seconds} s; meanwhile ${early.failed} of ${early.calls} ` +
      'calls to the busiest tenth failed';
    return { deed, criteria };
  },
};

function loadCriteria(
  { nodes }: ChaosCluster,
  traffic: readonly CheckedModel[],
): readonly Criterion[] {
  const shares = new Map<string, number>();
  for (const { name } of traffic) shares.set(name, (shares.get(name) ?? 0) + 1);
  const loads = nodes.map(({ process }) => loadsIn(`${process.stdout()}${process.stderr()}`));
  const most = Math.max(...loads.map((some) => mostAtATime(some)));
  const orders = loads.map((some) => inOrder(some, (model) => shares.get(model) ?? 0));
  const pairs = orders.reduce((sum, order) => sum + order.pairs, 0);
  const right = orders.reduce((sum, order) => sum + order.right, 0);
  const share = right / Math.max(1, pairs);
  return [
    atMost('loads at a time on a node: <= 2', most, MOST_LOADS),
    {
      promise: 'busier models are READY first: >= 0.75 of all pairs',
      measured: `${share.toFixed(2)} of ${pairs} pairs (0.5: by chance)`,
      isKept: share >= LEAST_IN_ORDER,
    },
  ];
}

function readCriteria(
  front: CountingFront,
  { options }: ChaosCluster,
  models: readonly CheckedModel[],
): readonly Criterion[] {
  const reads = [...front.reads().values()].reduce((sum, count) => sum + count, 0);
  const due = 2 * models.reduce((sum, { copies }) => sum + copies, 0);
  const most = front.mostAtATime();
  return [
    atMost('reads of the blob store: <= 1.1x due', reads / due, MOST_READS, `x ${due}`),
    atMost('reads at a time: <= 2 a node', most, MOST_LOADS * options.nodes),
  ];
}

/** A power cut of everything but the catalog and the blob store; all other disks are new. */
async function emptied({ members, surroundings }: ChaosCluster): Promise<void> {
  await Promise.all([...members.map((member) => member.kill()), surroundings.redis.kill()]);
  for (const { id } of members) {
    await rm(join(surroundings.folder, id), { recursive: true, force: true });
  }
}

/** The busiest first, by their names. */
async function plantModels(
  { surroundings, admin }: ChaosCluster,
  count: number,
): Promise<readonly CheckedModel[]> {
  const plants = await planting(surroundings);
  const models = Array.from({ length: count }, (_, at) => ({
    ...{ name: `cold-${at + 1}`, mark: 100 * (at + 1), copies: 1 },
  }));
  try {
    for (const model of models) await plants.plant(model, { promotes: true });
    // The leader is told by a change of its own process.
    const [first] = models;
    if (first !== undefined) await admin.promote(first.name, 1);
  } finally {
    await plants.close();
  }
  return models;
}

/** Each as often as it is called: the nth at 1/n of the first (Zipf), in a random order. */
function byTraffic(models: readonly CheckedModel[]): readonly CheckedModel[] {
  const all = models.flatMap((model, at) => {
    const times = Math.max(1, Math.round(models.length / (at + 1)));
    return Array.from({ length: times }, () => ({ model, at: Math.random() }));
  });
  return all.sort((a, b) => a.at - b.at).map(({ model }) => model);
}

async function allReady(cluster: ChaosCluster, models: readonly CheckedModel[]): Promise<void> {
  const names = new Set(models.map(({ name }) => name));
  await untilTrue(
    'all models are READY',
    async () => {
      await pause(100);
      const status = await cluster.status();
      const ready = status.models.filter(
        ({ modelId, readyCopies }) => names.has(modelId) && readyCopies > 0,
      );
      return ready.length === names.size;
    },
    COLD_TIMEOUT_MS,
  );
}

async function frontedCluster(stage: Stage): Promise<{
  readonly cluster: ChaosCluster;
  readonly front: () => CountingFront;
}> {
  let front: Promise<CountingFront> | undefined;
  let made: CountingFront | undefined;
  const cluster = await stage.ownCluster({
    ...USUAL_CLUSTER,
    models: [],
    blobs: 's3',
    async flags(role, _, { s3, blobs }) {
      if (role !== 'node' || s3 === undefined) return [];
      front ??= countingFront(s3.port);
      made = await front;
      return ['--blobs', blobs.replace(`:${s3.port}`, `:${made.port}`)];
    },
  });
  stage.teardown(async () => made?.end());
  return {
    cluster,
    front() {
      if (made === undefined) throw new Error('no node has a way to the blobs');
      return made;
    },
  };
}
