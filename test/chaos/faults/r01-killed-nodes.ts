// R1: nodes are killed without a word, one after the other.
import { pause } from '../../support/redis-server.ts';
import { type Criterion, type Fault, none } from '../fault.ts';

const FULL = { kills: 30, eachMs: 10_000 };
const SHORT = { kills: 2, eachMs: 5_000 };
const DEADLINE_MS = 5_000;
/** A killed process is started again after it, as a supervisor does. */
const RESTART_MS = 1_000;
const MOST_LOST_SHARE = 0.001;

export const killedNodes: Fault = {
  id: 'R1',
  title: 'nodes are killed (kill -9)',
  async run(stage, form) {
    const { kills, eachMs } = form === 'full' ? FULL : SHORT;
    const cluster = await stage.cluster();
    const load = await stage.load(cluster, { deadlineMs: DEADLINE_MS });
    const { models } = load.options;
    for (let kill = 0; kill < kills; kill += 1) {
      const nextMs = performance.now() + eachMs;
      const victim = cluster.nodes[Math.floor(Math.random() * cluster.nodes.length)];
      stage.note(`kill ${kill + 1} of ${kills}: ${victim?.id}`);
      await victim?.kill();
      await pause(RESTART_MS);
      await victim?.start();
      await pause(nextMs - performance.now());
    }
    await load.stop();
    const { book, startMs } = load;
    const hasTwo = (model: number): boolean => (models[model]?.copies ?? 0) > 1;
    const [all, double, single] = [
      book.figures(),
      book.figures({ model: hasTwo }),
      book.figures({ model: (model) => !hasTwo(model) }),
    ];
    const words = (which: (model: number) => boolean): string =>
      book.failureWords(startMs, ({ model }) => which(model));
    const lostShare = single.failed / Math.max(1, single.calls);
    const criteria: Criterion[] = [
      none('wrong answers: 0', all.wrong, `${all.calls} calls`, book.failureWords(startMs)),
      none(
        'errors of models with 2 copies: 0',
        double.failed,
        `${double.calls} calls`,
        words(hasTwo),
      ),
      {
        promise: 'errors of models with 1 copy: <= 0.1%',
        measured: `${single.failed} of ${single.calls} calls ${words((model) => !hasTwo(model))}`,
        isKept: lostShare <= MOST_LOST_SHARE,
      },
    ];
    return { deed: `${kills} nodes killed, one each ${eachMs / 1_000} s`, criteria };
  },
};
