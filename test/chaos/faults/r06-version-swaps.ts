// R6: versions take each other's place again and again under load; some of them are damaged in the
// blob store. What serves goes only when its heir is READY, so nobody notices.
import { join } from 'node:path';
import type { ModelStatus } from '../../../proto/gen/torus/v1/cluster_service.ts';
import { pause, untilTrue } from '../../support/redis-server.ts';
import { anyFlip, flipOnDisk } from '../bit-flips.ts';
import type { CheckedModel } from '../checked-model.ts';
import type { ChaosCluster } from '../cluster.ts';
import { type Criterion, type Fault, none } from '../fault.ts';
import { type Planting, planting } from '../planted.ts';
import { slowerThan } from '../slowness.ts';

const FULL = { swaps: 200, corrupt: 20, eachMs: 400, beforeMs: 10_000 };
const SHORT = { swaps: 12, corrupt: 2, eachMs: 300, beforeMs: 3_000 };
const SWAP_TIMEOUT_MS = 30_000;
const LOOK_MS = 100;
const MOST_TIMES = 1.5;
const SLOWER = 'p99 during swaps: <= 1.5x';
/** Any byte of the file may be hit: it is at least so long. */
const FILE_BYTES = 100;

interface Swap {
  readonly model: CheckedModel;
  readonly version: number;
  readonly isCorrupt: boolean;
}

export const versionSwaps: Fault = {
  id: 'R6',
  title: 'versions are swapped under load, some corrupt',
  async run(stage, form) {
    const { swaps: count, corrupt, eachMs, beforeMs } = form === 'full' ? FULL : SHORT;
    const cluster = await stage.cluster();
    const plants = await planting(cluster.surroundings);
    stage.teardown(() => plants.close());
    const { models } = cluster.options;
    const swaps: Swap[] = [];
    for (let at = 0; at < count; at += 1) {
      const model = models[at % models.length];
      // Evenly between the others, the last one a good one.
      const isCorrupt = at % Math.floor(count / corrupt) === 0;
      if (model !== undefined) swaps.push(await planted(cluster, plants, model, isCorrupt));
    }
    stage.note(`${count} versions are there, ${corrupt} of them damaged`);
    const load = await stage.load(cluster);
    await pause(beforeMs);
    const fromMs = performance.now();
    const slowest = await swapAll(cluster, swaps, eachMs);
    const toMs = performance.now();
    await load.stop();
    for (const model of models) await mend(cluster, plants, model, swaps);
    const { book, startMs } = load;
    const all = book.figures();
    const words = book.failureWords(startMs);
    const before = book.figures({ fromMs: startMs + beforeMs / 5, toMs: fromMs });
    const during = book.figures({ fromMs, toMs });
    const seconds = ((toMs - fromMs) / 1_000).toFixed(0);
    const criteria: Criterion[] = [
      none('answers not of the version they name: 0', all.wrong, `${all.calls} calls`, words),
      none('errors: 0', all.failed, `${all.calls} calls`, words),
      none('damaged versions that came to serve: 0', slowest.served, `${corrupt}`),
      // A few swaps are too few calls for it.
      ...(form === 'full' ? [slowerThan(SLOWER, during, before, MOST_TIMES)] : []),
    ];
    const took = `the slowest good one took ${(slowest.ms / 1_000).toFixed(1)} s`;
    return {
      deed: `${count} swaps in ${seconds} s, ${corrupt} to a damaged one; ${took}`,
      criteria,
    };
  },
};

/** The model's next version, not serving yet. */
async function planted(
  { surroundings }: ChaosCluster,
  plants: Planting,
  model: CheckedModel,
  isCorrupt: boolean,
): Promise<Swap> {
  const { version, file } = await plants.plant(model);
  if (isCorrupt) {
    const folder = surroundings.blobs.replace('dir:', '');
    const path = join(folder, 'blobs', file.slice(0, 2), file.slice(2, 4), file);
    await flipOnDisk(path, anyFlip(FILE_BYTES, Math.random));
  }
  return { model, version, isCorrupt };
}

/** One after the other, at most one each `eachMs`. */
async function swapAll(
  cluster: ChaosCluster,
  swaps: readonly Swap[],
  eachMs: number,
): Promise<{ readonly ms: number; readonly served: number }> {
  let [ms, served] = [0, 0];
  for (const { model, version, isCorrupt } of swaps) {
    const startMs = performance.now();
    await cluster.admin.promote(model.name, version);
    const found = await settled(cluster, model, version);
    const isServing = found.readyCopies === model.copies;
    if (!isCorrupt) ms = Math.max(ms, performance.now() - startMs);
    else if (isServing) served += 1;
    if (!isCorrupt && !isServing) throw new Error(`${model.name} ${version}: ${found.reason}`);
    await pause(startMs + eachMs - performance.now());
  }
  return { ms, served };
}

/** Once all its copies are READY, or the first of them has failed. */
async function settled(
  cluster: ChaosCluster,
  { name, copies }: CheckedModel,
  version: number,
): Promise<ModelStatus> {
  let found: ModelStatus | undefined;
  await untilTrue(
    `version ${version} of ${name} is READY or FAILED`,
    async () => {
      // Asking costs processor time, of which the calls are to have theirs.
      await pause(LOOK_MS);
      const { models } = await cluster.status();
      found = models.find((one) => one.modelId === name && Number(one.version) === version);
      return found !== undefined && (found.readyCopies === copies || found.failedCopies > 0);
    },
    SWAP_TIMEOUT_MS,
  );
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}

/** A model is not left with a damaged version as the one to serve. */
async function mend(
  cluster: ChaosCluster,
  plants: Planting,
  model: CheckedModel,
  swaps: readonly Swap[],
): Promise<void> {
  if (swaps.findLast((swap) => swap.model === model)?.isCorrupt !== true) return;
  const { version } = await plants.plant(model);
  await cluster.admin.promote(model.name, version);
  await settled(cluster, model, version);
}
