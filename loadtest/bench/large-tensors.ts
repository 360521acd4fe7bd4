// Tensors of 16 MB, both ways: how often bytes are copied, and how many are held. The echo says
// what the transport does; ModelInfer, what is left of that with a model behind it.
import { join } from 'node:path';
import { type Spread, spread, spreadText } from '../comparison.ts';
import {
  type Contest,
  CPU,
  figureAt,
  RATE,
  ratioAt,
  runContest,
} from '../measure/closed-contest.ts';
import { runRound } from '../measure/closed-rounds.ts';
import { type Target, tableOf, target } from '../measure/outcome.ts';
import type { Stage } from '../measure/stage.ts';
import type { Workload } from '../measure/workload.ts';
import { WIDE, wideCheck, wideRequest, writeWideRepository } from '../wide-model.ts';
import {
  type EchoOptions,
  type Entry,
  GRPC_JS,
  OURS,
  type Sides,
  startEchos,
  startSides,
  TONIC,
} from './contestants.ts';
import { echoMessage } from './echo.ts';
import { INFER_PATH, inferEntry, OVER_GRPC_JS, RUST } from './inference.ts';

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
  title: 'Tensors of 16 MB in and out',
  about:
    '4 connections with one call each. Unary echo; then ModelInfer with a model that gives back ' +
    "each number's negative (FP32). Peak memory is that of the echo: the rise of a fresh " +
    "server's resident set, divided by the calls in flight and by the message.",
  async run(stage) {
    const message = echoMessage(MESSAGE_BYTES);
    const options = { message, windowBytes: WINDOW_BYTES };
    const plan = { ...stage.roundsPlan, firstCalls: CONNECTIONS, checkedCalls: CHECKED_CALLS };
    const echos = await startEchos(stage, SERVERS, options);
    const echo = await runContest(echos.sides, CONNECTIONS, [STREAMS], plan);
    for (const { contender } of echos.sides) await contender.stop();
    const peaks = await peaksOf(stage, options);
    const infers = await startInfers(stage);
    const infer = await runContest(infers.sides, CONNECTIONS, [STREAMS], plan);
    const head = ['MiB/s each way', 'server CPU ms a call'];
    const echoRows = rowsOf(echo, echos).map((row) => [
      ...row,
      spreadText(peaks.get(row[0] ?? ''), 1),
    ]);
    return {
      tables: [
        ...tableOf(['echo', ...head, 'peak memory, messages a call'], echoRows),
        '',
        ...tableOf(['ModelInfer', ...head], rowsOf(infer, infers)),
      ],
      targets: [
        rateTarget('echo', echo, GRPC_JS, 3),
        rateTarget('echo', echo, TONIC, 0.8),
        rateTarget('ModelInfer', infer, OVER_GRPC_JS, 3),
        rateTarget('ModelInfer', infer, RUST, 0.8),
        target({
          text: 'peak memory a call <= 3 messages',
          value: peaks.get(OURS),
          atMost: 3,
        }),
      ],
      notes: [...echos.notes, ...infers.notes, ...echos.missing, ...infers.missing],
    };
  },
};

function rateTarget(what: string, contest: Contest, rival: string, atLeast: number): Target {
  return target({
    text: `${what}: >= ${atLeast}x ${rival}, bytes/s`,
    value: ratioAt(contest, STREAMS, OURS, rival, RATE),
    atLeast,
  });
}

/** Name, MiB/s, ms of CPU. */
function rowsOf(contest: Contest, { sides }: Sides): string[][] {
  const times = (value: Spread | undefined, factor: number): Spread | undefined =>
    value && {
      median: value.median * factor,
      least: value.least * factor,
      most: value.most * factor,
    };
  return sides.map(({ name }) => [
    name,
    spreadText(times(figureAt(contest, STREAMS, name, RATE), MESSAGE_BYTES / MEBIBYTE), 0),
    spreadText(times(figureAt(contest, STREAMS, name, CPU), 1 / 1_000), 1),
  ]);
}

async function startInfers(stage: Stage): Promise<Sides> {
  const folder = join(stage.folder, 'wide-models');
  await writeWideRepository(folder, MESSAGE_BYTES);
  const windows = ['--window-bytes', String(WINDOW_BYTES)];
  const entries: Entry[] = [];
  for (const server of [OURS, OVER_GRPC_JS, RUST] as const) {
    entries.push(await inferEntry(server, folder, WIDE, [], windows));
  }
  const isRight = wideCheck(MESSAGE_BYTES);
  const message = wideRequest(MESSAGE_BYTES);
  return startSides(stage, entries, { path: INFER_PATH, message, isRight, hasTls: false });
}

/** In messages, for each call in flight, of servers that have served nothing yet. */
async function peaksOf(stage: Stage, options: EchoOptions): Promise<ReadonlyMap<string, Spread>> {
  const peaks = new Map<string, number[]>();
  const plan = { ...stage.roundsPlan, checkedCalls: 0 };
  const level = { connections: CONNECTIONS, streams: STREAMS };
  for (let round = 0; round < stage.plan.rounds; round += 1) {
    // No target speaks of the others' memory: once is enough.
    const { sides } = await startEchos(stage, round === 0 ? SERVERS : [OURS], options);
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
