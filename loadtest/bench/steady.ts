// A minute of the same load: whether memory stays, and what garbage collection takes.
import { setTimeout as wait } from 'node:timers/promises';
import { spread } from '../comparison.ts';
import { figureAt, RATE, runContest } from '../measure/closed-contest.ts';
import { errorsText, runOpenRound } from '../measure/open-round.ts';
import { tableOf, target } from '../measure/outcome.ts';
import type { Side } from '../measure/side.ts';
import type { Workload } from '../measure/workload.ts';
import { TINY } from '../tiny-mlp.ts';
import { OURS } from './contestants.ts';
import { startInfers } from './inference.ts';

const CONNECTIONS = 4;
const STREAMS = 64;
const LOAD_PART = 0.5;
/** Of the whole time: when memory is looked at first. */
const FIRST_LOOK_PART = 1 / 6;
/** The generator goes on for longer than is looked at. */
const MORE_SECONDS = 2;
const MEBIBYTE = 1_048_576;

interface Look {
  readonly heapMebibytes: number;
  readonly pausesMs: number;
  readonly overMs: number;
  readonly longestMs: number;
}

export const STEADY: Workload = {
  name: 'steady',
  title: 'Steady load, perceptron 16-32-4',
  about:
    'Open loop at half of our closed-loop peak. Pauses are those of garbage collection on the ' +
    'thread that serves; the collections that the bench itself asks for are not counted. Before ' +
    'the load V8 is told to drop the code that only the start needed (5 MiB): it would do so by ' +
    'itself within the minute, and the heap would look as if it shrank.',
  isAlone: true,
  async run(stage) {
    const { steadySeconds, clientCore } = stage.plan;
    const { sides, notes } = await startInfers(stage, [OURS], { model: TINY });
    const side = sides[0] as Side;
    const contest = await runContest(sides, CONNECTIONS, [STREAMS], {
      ...stage.roundsPlan,
      rounds: 1,
    });
    const rate = Math.round((figureAt(contest, STREAMS, OURS, RATE)?.median ?? 0) * LOAD_PART);
    await side.contender.ask('settle');
    const seconds = steadySeconds + MORE_SECONDS;
    const load = runOpenRound(side, { clientCore, callsPerSecond: rate, seconds });
    const looks = await Promise.race([lookTwice(side, steadySeconds), load.then(() => [])]);
    const report = await load;
    const [first, second] = looks;
    const growth = (second?.heapMebibytes ?? Number.NaN) - (first?.heapMebibytes ?? Number.NaN);
    const pausesMs = (first?.pausesMs ?? 0) + (second?.pausesMs ?? 0);
    const share = (pausesMs / ((first?.overMs ?? 0) + (second?.overMs ?? 0))) * 100;
    const longest = Math.max(first?.longestMs ?? Number.NaN, second?.longestMs ?? Number.NaN);
    const mebibytes = looks.map(({ heapMebibytes }) => heapMebibytes.toFixed(1)).join(' and ');
    const megabytes = (Math.abs(growth) * MEBIBYTE) / 1e6;
    return {
      tables: tableOf(
        ['calls/s', 'calls', 'failed', 'heap after GC, MiB', 'GC %', 'longest pause, ms'],
        [
          [
            String(rate),
            String(report.sent),
            String(report.sent - report.ok + report.dropped),
            mebibytes,
            share.toFixed(2),
            longest.toFixed(1),
          ],
        ],
      ),
      targets: [
        target({
          text: `heap after GC at ${steadySeconds / 6} and ${steadySeconds} s within 2 MB`,
          value: spread([megabytes]),
          atMost: 2,
        }),
        target({ text: 'no pause > 10 ms', value: spread([longest]), atMost: 10 }),
        target({ text: 'GC <= 3% of the time', value: spread([share]), atMost: 3 }),
      ],
      notes: [...notes, `errors: ${errorsText([report]) ?? 'none'}`],
    };
  },
};

async function lookTwice({ contender }: Side, seconds: number): Promise<readonly Look[]> {
  const firstMs = seconds * FIRST_LOOK_PART * 1_000;
  const looks: Look[] = [];
  await contender.ask('pauses');
  for (const ms of [firstMs, seconds * 1_000 - firstMs]) {
    await wait(ms);
    const [pausesMs = 0, overMs = 0, longestMs = 0] = await contender.ask('pauses');
    const [heapBytes = Number.NaN] = await contender.ask('heap');
    looks.push({ heapMebibytes: heapBytes / MEBIBYTE, pausesMs, overMs, longestMs });
  }
  return looks;
}
