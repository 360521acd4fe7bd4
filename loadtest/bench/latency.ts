// One call at a time: what a call takes when nothing else waits.
import { contestTable, P50, P99, ratioAt, runContest } from '../measure/closed-contest.ts';
import { target } from '../measure/outcome.ts';
import type { Workload } from '../measure/workload.ts';
import { TINY } from '../tiny-mlp.ts';
import { OURS } from './contestants.ts';
import { OUR_ECHO, RUST, RUST_NOTE, RUST_THREAD, startInfers } from './inference.ts';

const WARM_UP = { connections: 4, streams: 16 };

export const LATENCY: Workload = {
  name: 'latency',
  title: 'One call at a time, perceptron 16-32-4',
  about:
    'One connection, one stream, after a warm-up with many; percentiles are over the calls of ' +
    'each round.',
  async run(stage) {
    const servers = [OURS, RUST, RUST_THREAD, OUR_ECHO] as const;
    const { sides, missing, notes } = await startInfers(stage, servers, { model: TINY });
    const plan = { ...stage.roundsPlan, hasPercentiles: true };
    // One call at a time is too few to warm up a server: its code is to be compiled before.
    await runContest(sides, WARM_UP.connections, [WARM_UP.streams], { ...plan, rounds: 1 });
    const contest = await runContest(sides, 1, [1], plan);
    const p50 = (rival: string, atMost: number) =>
      target({
        text: `p50 <= ${atMost}x ${rival}`,
        value: ratioAt(contest, 1, OURS, rival, P50),
        atMost,
      });
    const p99 = (rival: string) =>
      target({
        text: `p99 <= ${rival}`,
        value: ratioAt(contest, 1, OURS, rival, P99),
        atMost: 1,
      });
    return {
      tables: contestTable(contest),
      targets: [p50(RUST, 0.7), p99(RUST), p50(OUR_ECHO, 1.6)],
      notes: [RUST_NOTE, ...notes, ...missing],
    };
  },
};
