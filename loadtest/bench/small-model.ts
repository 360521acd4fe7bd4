// A model so small that the server around it is what costs: 16 inputs, 4 outputs, real ONNX
// Runtime.
import { type Spread, spread } from '../comparison.ts';
import {
  type Contest,
  contestTable,
  RATE,
  ratioAt,
  runContest,
} from '../measure/closed-contest.ts';
import { type Target, target } from '../measure/outcome.ts';
import type { Workload } from '../measure/workload.ts';
import { TINY } from '../tiny-mlp.ts';
import { OURS } from './contestants.ts';
import { OUR_ECHO, OVER_GRPC_JS, RUST, RUST_NOTE, RUST_THREAD, startInfers } from './inference.ts';

const CONNECTIONS = 4;
const STREAMS = [16, 64];

/** Ours over the faster of the two ways in which the rival batches, round by round. */
export function ratioToBestRust(contest: Contest, streams: number): Spread | undefined {
  const results = contest.results[contest.streams.indexOf(streams)];
  const ours = results?.get(OURS) ?? [];
  const rates = ours.flatMap((round, at) => {
    const theirs = [RUST, RUST_THREAD].flatMap((name) => results?.get(name)?.[at] ?? []);
    if (theirs.length === 0) return [];
    return [RATE(round) / Math.max(...theirs.map(RATE))];
  });
  return rates.length === 0 ? undefined : spread(rates);
}

export const SMALL_MODEL: Workload = {
  name: 'mlp',
  title: 'ModelInfer, perceptron 16-32-4',
  about:
    'One row a call, dynamic batching, real ONNX Runtime with one thread. "torus on grpc-js" is ' +
    'the same node on that library; "torus echo" sends the same message back.',
  async run(stage) {
    const servers = [OURS, OVER_GRPC_JS, RUST, RUST_THREAD, OUR_ECHO] as const;
    const { sides, missing, notes } = await startInfers(stage, servers, { model: TINY });
    const contest = await runContest(sides, CONNECTIONS, STREAMS, stage.roundsPlan);
    const rate = (streams: number, rival: string, atLeast: number): Target =>
      target({
        text: `${streams} streams: >= ${atLeast}x ${rival}`,
        value: ratioAt(contest, streams, OURS, rival, RATE),
        atLeast,
      });
    const rust = (streams: number, atLeast: number): Target =>
      target({
        text: `${streams} streams: >= ${atLeast}x the better tonic + ort`,
        value: ratioToBestRust(contest, streams),
        atLeast,
      });
    return {
      tables: contestTable(contest),
      targets: [
        ...STREAMS.map((streams) => rate(streams, OVER_GRPC_JS, 5)),
        rust(16, 2),
        rust(64, 2.5),
        ...STREAMS.map((streams) => rate(streams, OUR_ECHO, 0.45)),
      ],
      notes: [RUST_NOTE, ...notes, ...missing],
    };
  },
};
