// Calls that come when they come: latency below the peak, counted from the intended send time.
import { spread, spreadText } from '../comparison.ts';
import { figureAt, RATE, runContest } from '../measure/closed-contest.ts';
import { errorsText, runOpenRound } from '../measure/open-round.ts';
import { tableOf, target } from '../measure/outcome.ts';
import type { Side } from '../measure/side.ts';
import type { Stage } from '../measure/stage.ts';
import type { Workload } from '../measure/workload.ts';
import type { OpenLoopReport } from '../open-loop.ts';
import { TINY } from '../tiny-mlp.ts';
import { OURS } from './contestants.ts';
import { startInfers } from './inference.ts';

const CONNECTIONS = 4;
const STREAMS = 64;
/** So few that hardly two meet. */
const UNLOADED_RATE = 500;
const UNLOADED_SECONDS = 1;
const PARTS = [0.5, 0.9];

export const OPEN_LOOP: Workload = {
  name: 'open-loop',
  title: 'Open loop, perceptron 16-32-4',
  about:
    'Poisson arrivals at parts of our closed-loop peak (4 x 64), in turn. Latency counts from ' +
    'the moment a call was meant to be sent; "sent late" is what of it the generator adds.',
  isAlone: true,
  async run(stage) {
    const { sides, notes } = await startInfers(stage, [OURS], { model: TINY });
    const contest = await runContest(sides, CONNECTIONS, [STREAMS], stage.roundsPlan);
    const peak = figureAt(contest, STREAMS, OURS, RATE)?.median ?? 0;
    const rates = [UNLOADED_RATE, ...PARTS.map((part) => Math.round(peak * part))];
    const reports = await runRates(stage, sides[0] as Side, rates);
    // Says where its models run now, should they have moved.
    await sides[0]?.batches?.();
    const [unloaded = [], half = [], most = []] = reports;
    const unloadedP50Us = spread(unloaded.map(({ latencyUs }) => latencyUs.p50)).median;
    const p99 = (round: readonly OpenLoopReport[]) =>
      spread(round.map(({ latencyUs }) => latencyUs.p99 / unloadedP50Us));
    const errors = spread([[...half, ...most].reduce((sum, one) => sum + errorsOf(one), 0)]);
    return {
      tables: table(rates, reports),
      targets: [
        target({ text: 'p99 at 50% <= 5x the unloaded p50', value: p99(half), atMost: 5 }),
        target({ text: 'p99 at 90% <= 20x the unloaded p50', value: p99(most), atMost: 20 }),
        target({ text: 'errors and calls not sent: 0', value: errors, atMost: 0, digits: 0 }),
      ],
      notes: [
        ...notes,
        `closed-loop peak: ${Math.round(peak)} calls/s`,
        `errors: ${errorsText(reports.flat()) ?? 'none'}`,
      ],
    };
  },
};

/** For each rate, one report a round. */
async function runRates(stage: Stage, side: Side, rates: readonly number[]) {
  const { rounds, openLoopSeconds, clientCore } = stage.plan;
  const reports = rates.map((): OpenLoopReport[] => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [at, rate] of rates.entries()) {
      const seconds = openLoopSeconds / rounds;
      const forSeconds = rate === UNLOADED_RATE ? Math.min(seconds, UNLOADED_SECONDS) : seconds;
      const load = { clientCore, callsPerSecond: rate, seconds: forSeconds };
      reports[at]?.push(await runOpenRound(side, load));
    }
  }
  return reports;
}

function errorsOf({ sent, ok, dropped }: OpenLoopReport): number {
  return sent - ok + dropped;
}

function table(rates: readonly number[], reports: readonly (readonly OpenLoopReport[])[]) {
  const late = ['sent late: p50 us', 'sent late: p99 us'];
  const head = ['calls/s', 'p50 us', 'p99 us', ...late, 'calls', 'errors, not sent'];
  const rows = rates.map((rate, at) => {
    const rounds = reports[at] ?? [];
    const of = (figure: (report: OpenLoopReport) => number): string =>
      spreadText(spread(rounds.map(figure)), 0);
    const sum = (figure: (report: OpenLoopReport) => number): string =>
      String(rounds.reduce((total, report) => total + figure(report), 0));
    return [
      String(rate),
      of(({ latencyUs }) => latencyUs.p50),
      of(({ latencyUs }) => latencyUs.p99),
      of(({ lateUs }) => lateUs.p50),
      of(({ lateUs }) => lateUs.p99),
      sum(({ sent }) => sent),
      sum(errorsOf),
    ];
  });
  return tableOf(head, rows);
}
