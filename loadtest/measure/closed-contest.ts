// Closed-loop rounds of all sides at several levels, as a table and as ratios for targets.
import { ratios, type Spread, spread, spreadText } from '../comparison.ts';
import {
  type ClosedRound,
  type Results,
  type RoundsPlan,
  runClosedRounds,
} from './closed-rounds.ts';
import { tableOf } from './outcome.ts';
import type { Side } from './side.ts';

export interface Contest {
  /** Streams on each connection, one for each entry of `results`. */
  readonly streams: readonly number[];
  readonly connections: number;
  readonly results: readonly Results[];
}

type Figure = (round: ClosedRound) => number;
export const RATE: Figure = (round) => round.callsPerSecond;
export const CPU: Figure = (round) => round.cpuUsPerCall;
export const P50: Figure = (round) => round.p50Us;
export const P99: Figure = (round) => round.p99Us;

export async function runContest(
  sides: readonly Side[],
  connections: number,
  streams: readonly number[],
  plan: RoundsPlan,
): Promise<Contest> {
  const results: Results[] = [];
  for (const each of streams) {
    results.push(await runClosedRounds(sides, { connections, streams: each }, plan));
  }
  return { streams, connections, results };
}

/** Round by round; undefined when a side is missing. */
export function ratioAt(
  contest: Contest,
  streams: number,
  ours: string,
  theirs: string,
  figure: Figure,
): Spread | undefined {
  const results = contest.results[contest.streams.indexOf(streams)];
  return ratios(results?.get(ours), results?.get(theirs), figure);
}

/** Undefined when the side is missing. */
export function figureAt(
  contest: Contest,
  streams: number,
  side: string,
  figure: Figure,
): Spread | undefined {
  const rounds = contest.results[contest.streams.indexOf(streams)]?.get(side);
  return rounds === undefined || rounds.length === 0 ? undefined : spread(rounds.map(figure));
}

/** Columns for percentiles only where they were measured. */
export function contestTable(contest: Contest, what = 'server'): string[] {
  const [first] = contest.results[0]?.values() ?? [];
  const hasPercentiles = first !== undefined && !Number.isNaN(first[0]?.p50Us);
  const columns: [string, Figure, number][] = [
    ['calls/s', RATE, 0],
    ['server CPU us a call', CPU, 1],
    ...(hasPercentiles
      ? ([
          ['p50 us', P50, 0],
          ['p99 us', P99, 0],
        ] satisfies [string, Figure, number][])
      : []),
  ];
  const head = ['connections x streams', what, ...columns.map(([name]) => name)];
  const rows = contest.streams.flatMap((streams, at) =>
    [...(contest.results[at]?.keys() ?? [])].map((side) => [
      `${contest.connections} x ${streams}`,
      side,
      ...columns.map(([, figure, digits]) =>
        spreadText(figureAt(contest, streams, side, figure), digits),
      ),
    ]),
  );
  return tableOf(head, rows);
}
