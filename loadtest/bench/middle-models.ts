// Models that cost something themselves: what the server adds to ONNX Runtime shows as processor
// time beside what the echo and the runtime take alone.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Spread, spread, spreadText } from '../comparison.ts';
import {
  type Contest,
  CPU,
  contestTable,
  figureAt,
  runContest,
} from '../measure/closed-contest.ts';
import { type Target, tableOf, target } from '../measure/outcome.ts';
import type { Stage } from '../measure/stage.ts';
import type { Workload } from '../measure/workload.ts';
import type { Perceptron } from '../perceptron.ts';
import { type Built, buildTonic } from '../rivals/build.ts';
import { OURS } from './contestants.ts';
import {
  OUR_ECHO,
  RUST,
  RUST_NOTE,
  RUST_THREAD,
  startInfers,
  writeModelFile,
} from './inference.ts';
import { ratioToBestRust } from './small-model.ts';

const MODELS: readonly Perceptron[] = [
  { name: 'mlp-784-128-10', widths: [784, 128, 10] },
  { name: 'mlp-784-512-512-10', widths: [784, 512, 512, 10] },
];
const CONNECTIONS = 4;
const STREAMS = [16, 64];

export const MIDDLE_MODELS: Workload = {
  name: 'middle-mlp',
  title: 'ModelInfer, perceptrons 784-128-10 and 784-512-512-10',
  about:
    'One row of 3 KiB a call. "ONNX Runtime alone" is the time of a run of our mean batch, ' +
    'divided by its rows, measured without any server.',
  async run(stage) {
    const tables: string[] = [];
    const targets: Target[] = [];
    const notes = new Set([RUST_NOTE]);
    for (const model of MODELS) {
      const measured = await measure(stage, model);
      tables.push(...(tables.length > 0 ? [''] : []), ...measured.tables);
      targets.push(...measured.targets);
      for (const note of measured.notes) notes.add(note);
    }
    return { tables, targets, notes: [...notes] };
  },
};

async function measure(stage: Stage, model: Perceptron) {
  const servers = [OURS, RUST, RUST_THREAD, OUR_ECHO] as const;
  const { sides, missing, notes } = await startInfers(stage, servers, { model });
  const file = await writeModelFile(stage, model);
  const runtime = await buildTonic('infer');
  const tables: string[] = [];
  const rows: string[][] = [];
  const targets: Target[] = [];
  for (const streams of STREAMS) {
    const contest = await runContest(sides, CONNECTIONS, [streams], stage.roundsPlan);
    const meanBatch = figureAt(contest, streams, OURS, (round) => round.meanBatch);
    const batch = Math.max(1, Math.round(meanBatch?.median ?? 1));
    const alone = await runtimeAlone(stage, runtime, file, batch);
    const table = contestTable(contest, model.name);
    tables.push(...(tables.length === 0 ? table : table.slice(2)));
    const aloneText = alone === undefined ? 'not measured' : spreadText(spread(alone), 1);
    rows.push([`${CONNECTIONS} x ${streams}`, spreadText(meanBatch, 1), aloneText]);
    targets.push(...targetsOf(model, contest, streams, alone));
  }
  const head = [model.name, 'our mean batch', 'ONNX Runtime alone: CPU us a row'];
  tables.push('', ...tableOf(head, rows));
  for (const side of sides) await side.contender.stop();
  return { tables, targets, notes: [...notes, ...missing] };
}

function targetsOf(
  model: Perceptron,
  contest: Contest,
  streams: number,
  alone: readonly number[] | undefined,
): readonly Target[] {
  return [
    target({
      text: `${model.name}, ${streams} streams: >= 1.2x the better tonic + ort`,
      value: ratioToBestRust(contest, streams),
      atLeast: 1.2,
    }),
    target({
      text: `${model.name}, ${streams} streams: CPU <= 1.2x (our echo + ONNX Runtime alone)`,
      value: overheadOf(contest, alone),
      atMost: 1.2,
    }),
  ];
}

/** Round by round. */
function overheadOf(contest: Contest, alone: readonly number[] | undefined): Spread | undefined {
  const [results] = contest.results;
  const values = (results?.get(OURS) ?? []).flatMap((round, at) => {
    const echo = results?.get(OUR_ECHO)?.[at];
    const runtimeUs = alone?.[at];
    if (echo === undefined || runtimeUs === undefined) return [];
    return [CPU(round) / (CPU(echo) + runtimeUs)];
  });
  return values.length === 0 ? undefined : spread(values);
}

/** Microseconds of processor time a row, once for each round. */
async function runtimeAlone(
  stage: Stage,
  built: Built,
  file: string,
  batch: number,
): Promise<readonly number[] | undefined> {
  if ('missing' in built) return undefined;
  const { rounds, secondsPerRound, serverCore } = stage.plan;
  const seconds = String(secondsPerRound / 2);
  const model = ['--model', file, '--alone', String(batch), '--seconds', seconds];
  const env = { ...process.env, ...built.environment };
  const values: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const args = ['-c', String(serverCore), ...built.command, ...model];
    const { stdout } = await promisify(execFile)('taskset', args, { env });
    values.push(Number(/^alone ([\d.]+)$/m.exec(stdout)?.[1]) / batch);
  }
  return values;
}
