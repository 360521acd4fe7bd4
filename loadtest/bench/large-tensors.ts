// Messages of 16 MB, both ways: how often bytes are copied, and how many are held.
import { type Spread, spread, spreadText } from '../comparison.ts';
import { CPU, figureAt, RATE, ratioAt, runContest } from '../measure/closed-contest.ts';
import { runRound } from '../measure/closed-rounds.ts';
import { tableOf, target } from '../measure/outcome.ts';
import type { Stage } from '../measure/stage.ts';
import type { Workload } from '../measure/workload.ts';
import { type EchoOptions, GRPC_JS, OURS, startEchos, TONIC } from './contestants.ts';
import { echoMessage } from './echo.ts';

const MESSAGE_BYTES = 16 * 1_048_576;
const CONNECTIONS = 4;
const STREAMS = 1;
/** tonic's default windows are for small messages; a careful engineer gives it these. */
const WINDOW_BYTES = 4 * 1_048_576;
const CHECKED_CALLS = 2;
/** On each connection: enough for buffers to reach their size. */
const CALLS_FOR_PEAK = 4;
const SERVERS = [OURS, GRPC_JS, TONIC] as const;
const MEBIBYTE = 1_048_576;

export const LARGE_TENSORS: Workload = {
  name: 'large',
  title: 'Messages of 16 MB in and out',
  about:
    "Unary echo, 4 connections with one call each. Peak memory is the rise of a fresh server's " +
    'resident set, divided by the calls in flight and by the message.',
  async run(stage) {
    const message = echoMessage(MESSAGE_BYTES);
    const options = { message, windowBytes: WINDOW_BYTES };
    const { sides, missing, notes } = await startEchos(stage, SERVERS, options);
    const plan = { ...stage.roundsPlan, firstCalls: CONNECTIONS, checkedCalls: CHECKED_CALLS };
    const contest = await runContest(sides, CONNECTIONS, [STREAMS], plan);
    const peaks = await peaksOf(stage, options);
    const rows = sides.map(({ name }) => {
      const rate = figureAt(contest, STREAMS, name, RATE);
      const toMebibytes = (calls: number): number => (calls * MESSAGE_BYTES) / MEBIBYTE;
      const perSecond = rate && {
        median: toMebibytes(rate.median),
        least: toMebibytes(rate.least),
        most: toMebibytes(rate.most),
      };
      const cpuUs = figureAt(contest, STREAMS, name, CPU);
      const cpuMs = cpuUs && {
        median: cpuUs.median / 1_000,
        least: cpuUs.least / 1_000,
        most: cpuUs.most / 1_000,
      };
      const peak = spreadText(peaks.get(name), 1);
      return [name, spreadText(perSecond, 0), spreadText(cpuMs, 1), peak];
    });
    const rate = (rival: string, atLeast: number) =>
      target({
        text: `>= ${atLeast}x ${rival}, bytes/s`,
        value: ratioAt(contest, STREAMS, OURS, rival, RATE),
        atLeast,
      });
    return {
      tables: tableOf(
        ['server', 'MiB/s each way', 'server CPU ms a call', 'peak memory, messages a call'],
        rows,
      ),
      targets: [
        rate(GRPC_JS, 3),
        rate(TONIC, 0.8),
        target({
          text: 'peak memory a call <= 3 messages',
          value: peaks.get(OURS),
          atMost: 3,
        }),
      ],
      notes: [...notes, ...missing],
    };
  },
};

/** In messages, for each call in flight, of servers that have served nothing yet. */
async function peaksOf(stage: Stage, options: EchoOptions): Promise<ReadonlyMap<string, Spread>> {
  const peaks = new Map<string, number[]>();
  const plan = { ...stage.roundsPlan, checkedCalls: 0 };
  const level = { connections: CONNECTIONS, streams: STREAMS };
  for (let round = 0; round < stage.plan.rounds; round += 1) {
    const { sides } = await startEchos(stage, SERVERS, options);
    for (const side of sides) {
      const { contender, name } = side;
      await contender.resetPeak();
      const { rssBytes } = await contender.memory();
      await runRound(side, level, plan, CONNECTIONS * CALLS_FOR_PEAK);
      const { peakBytes } = await contender.memory();
      await contender.stop();
      const messages = (peakBytes - rssBytes) / MESSAGE_BYTES / (CONNECTIONS * STREAMS);
      peaks.set(name, [...(peaks.get(name) ?? []), messages]);
    }
  }
  return new Map([...peaks].map(([name, values]) => [name, spread(values)]));
}
