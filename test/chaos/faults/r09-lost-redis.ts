// R9: Redis is killed again and again, is away for long, and forgets everything. Nodes and routers
// go on with what they know; nobody unloads a model for it.
import { pause } from '../../support/redis-server.ts';
import { writeCatalog } from '../catalog-writer.ts';
import type { ChaosCluster } from '../cluster.ts';
import { type Criterion, type Fault, none } from '../fault.ts';
import { logged } from '../observe.ts';

const FULL = { kills: 50, upMs: 1_000, downMs: 60_000, flushes: 5, flushEachMs: 5_000 };
const SHORT = { kills: 2, upMs: 500, downMs: 5_000, flushes: 1, flushEachMs: 3_000 };
const AWAY_MS = 300;

export const lostRedis: Fault = {
  id: 'R9',
  title: 'Redis is killed, away, and wiped',
  async run(stage, form) {
    const { kills, upMs, downMs, flushes, flushEachMs } = form === 'full' ? FULL : SHORT;
    const cluster = await stage.cluster();
    const { redis } = cluster.surroundings;
    const before = unloads(cluster);
    const load = await stage.load(cluster);
    const writer = writeCatalog(cluster, `r9-${process.pid}-${Math.round(load.startMs)}`);
    const away = async (forMs: number): Promise<void> => {
      await redis.kill();
      await pause(forMs);
      await redis.start();
    };
    for (let kill = 0; kill < kills; kill += 1) {
      await away(AWAY_MS);
      await pause(upMs);
    }
    stage.note(`${kills} times killed`);
    await away(downMs);
    stage.note(`back after ${downMs / 1_000} s`);
    for (let flush = 0; flush < flushes; flush += 1) {
      await pause(flushEachMs);
      await redis.ask('FLUSHALL');
    }
    await pause(flushEachMs);
    await cluster.untilReady();
    await load.stop();
    const { book, startMs } = load;
    const all = book.figures();
    const words = book.failureWords(startMs);
    const criteria: Criterion[] = [
      none('wrong answers: 0', all.wrong, `${all.calls} calls`, words),
      none('failed predictions: 0', all.failed, `${all.calls} calls`, words),
      await writer.judge(),
      none('copies unloaded: 0', unloads(cluster) - before, 'all copies'),
    ];
    const deed = `Redis killed ${kills} times, away for ${downMs / 1_000} s, FLUSHALL ${flushes}x`;
    return { deed, criteria };
  },
};

/** As nodes log them. @throws when they log no loads either: then their words are others by now */
function unloads({ nodes }: ChaosCluster): number {
  const [loaded = 0, unloaded = 0] = ['loaded', 'unloaded'].map((word) =>
    nodes.reduce((sum, node) => sum + logged(node, `model version ${word}`), 0),
  );
  if (loaded === 0) throw new Error("nodes do not log 'model version loaded'");
  return unloaded;
}
