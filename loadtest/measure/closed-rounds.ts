// Rounds of several sides in turn, so that a machine's drift hits them all alike: closed-loop, or
// at a rate. In each round answers are checked first, and the server's count of successes must be
// the client's.
import { join } from 'node:path';
import { Code, StatusError } from '../../common/status.ts';
import { runCheckedCalls } from './checked-calls.ts';
import { percentile, runH2load } from './h2load.ts';
import { runOpenRound } from './open-round.ts';
import type { Side } from './side.ts';

export interface Level {
  readonly connections: number;
  readonly streams: number;
}

export interface ClosedRound {
  readonly callsPerSecond: number;
  readonly cpuUsPerCall: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Rows of a run of the model; NaN where the server doesn't tell. */
  readonly meanBatch: number;
}

export interface RoundsPlan {
  readonly rounds: number;
  readonly secondsPerRound: number;
  readonly checkedCalls: number;
  readonly clientCore: number;
  /** For files that live as long as a round. */
  readonly folder: string;
  readonly hasPercentiles?: boolean;
  /** An open loop at this rate over all connections, in place of as fast as it goes; no TLS. */
  readonly callsPerSecond?: number;
  /** Of the first warm-up, before anything is known of a server's speed. */
  readonly firstCalls: number;
}

/** By side, one for each round. */
export type Results = ReadonlyMap<string, readonly ClosedRound[]>;

/** Of the time of a round: servers in JavaScript get faster while they warm up. */
const WARM_UP_PARTS = [0.1, 0.5];
const WARM_UP_CHECKED_CALLS = 50;
/** Of a round at a rate; in the rest the generator gets fast. */
const OPEN_PART = 2 / 3;

/** How many calls of a side fill a round, from how fast the last ones went. */
class Pace {
  #callsPerSecond = 0;

  saw(callsPerSecond: number): void {
    this.#callsPerSecond = callsPerSecond;
  }

  callsFor(seconds: number, { connections, streams }: Level): number {
    return Math.max(connections * streams, Math.ceil(this.#callsPerSecond * seconds));
  }
}

export async function runClosedRounds(
  sides: readonly Side[],
  level: Level,
  plan: RoundsPlan,
): Promise<Results> {
  const paces = new Map(sides.map((side) => [side, new Pace()]));
  const results = new Map<string, ClosedRound[]>(sides.map((side) => [side.name, []]));
  for (const side of sides) await warmUp(side, level, plan, paces.get(side) as Pace);
  for (let round = 0; round < plan.rounds; round += 1) {
    for (const side of inTurn(sides, round)) {
      const pace = paces.get(side) as Pace;
      const calls = pace.callsFor(plan.secondsPerRound, level);
      const measured = await runRound(side, level, plan, calls);
      pace.saw(measured.callsPerSecond);
      results.get(side.name)?.push(measured);
    }
  }
  return results;
}

/** Another side is first in each round. */
function inTurn<T>(all: readonly T[], round: number): readonly T[] {
  const at = round % all.length;
  return [...all.slice(at), ...all.slice(0, at)];
}

async function warmUp(side: Side, level: Level, full: RoundsPlan, pace: Pace): Promise<void> {
  let plan = { ...full, checkedCalls: Math.min(full.checkedCalls, WARM_UP_CHECKED_CALLS) };
  let calls = Math.max(level.connections * level.streams, plan.firstCalls);
  if (plan.callsPerSecond !== undefined) {
    pace.saw(plan.callsPerSecond);
    calls = pace.callsFor(plan.secondsPerRound * (WARM_UP_PARTS[0] ?? 0), level);
  }
  for (const part of WARM_UP_PARTS) {
    const { callsPerSecond } = await runRound(side, level, plan, calls);
    pace.saw(callsPerSecond);
    calls = pace.callsFor(plan.secondsPerRound * part, level);
    plan = { ...full, checkedCalls: 0 };
  }
  const last = await runRound(side, level, plan, calls);
  pace.saw(last.callsPerSecond);
}

/** @throws INTERNAL when an answer is wrong, or server and client count differently. */
export async function runRound(
  side: Side,
  level: Level,
  plan: RoundsPlan,
  calls: number,
): Promise<ClosedRound> {
  const { name, contender, path, message, trusted } = side;
  const { port } = contender;
  const isRight = (answer: Buffer): boolean => side.isRight(answer);
  const checked = { name, port, path, message, isRight, calls: plan.checkedCalls };
  await runCheckedCalls({ ...checked, ...(trusted && { trusted }) });
  const batchesBefore = await side.batches?.();
  const [before, cpuBeforeMs] = [await side.calls(), await contender.cpuMs()];
  const report = await drive(side, level, plan, calls);
  const [after, cpuAfterMs] = [await side.calls(), await contender.cpuMs()];
  const meanBatch = meanBatchOf(batchesBefore, await side.batches?.());
  if (after - before !== report.succeeded) {
    const counts = `the server answered ${after - before} calls, the client saw`;
    throw new StatusError(Code.INTERNAL, `${name}: ${counts} ${report.succeeded}`);
  }
  return {
    callsPerSecond: report.succeeded / report.seconds,
    cpuUsPerCall: (((cpuAfterMs ?? Number.NaN) - (cpuBeforeMs ?? 0)) * 1_000) / report.succeeded,
    p50Us: report.p50Us,
    p99Us: report.p99Us,
    meanBatch,
  };
}

interface Driven {
  readonly succeeded: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

async function drive(side: Side, level: Level, plan: RoundsPlan, calls: number): Promise<Driven> {
  const { name, contender, path, bodyFile, trusted } = side;
  const { clientCore, callsPerSecond } = plan;
  if (callsPerSecond !== undefined) {
    const seconds = (calls / callsPerSecond) * OPEN_PART;
    // The nodes behind a proxy are on the clients' core. The warm-up is as fast as the round: all
    // of it counts in what a call costs.
    const report = await runOpenRound(side, {
      ...{ clientCore, callsPerSecond, seconds, connections: level.connections },
      ...{ warmUpCallsPerSecond: callsPerSecond, isCoreShared: true },
    });
    const { p50, p99 } = report.latencyUs;
    const succeeded = report.ok + report.warmUpOk;
    return { succeeded, seconds: seconds + report.warmUpSeconds, p50Us: p50, p99Us: p99 };
  }
  const report = await runH2load({
    ...{ port: contender.port, path, bodyFile, calls, ...level },
    core: clientCore,
    isTls: trusted !== undefined,
    ...(plan.hasPercentiles === true && { logFile: join(plan.folder, 'h2load.log') }),
  });
  if (trusted !== undefined && report.tlsVersion !== 'TLSv1.3') {
    const took = `TLS 1.3 was wanted, it took ${report.tlsVersion}`;
    throw new StatusError(Code.INTERNAL, `${name}: ${took}`);
  }
  const { succeeded, seconds, latenciesUs } = report;
  const [p50Us, p99Us] = [percentile(latenciesUs, 0.5), percentile(latenciesUs, 0.99)];
  return { succeeded, seconds, p50Us, p99Us };
}

function meanBatchOf(before: readonly number[] = [], after: readonly number[] = []): number {
  const [rowsBefore = Number.NaN, runsBefore = Number.NaN] = before;
  const [rowsAfter = Number.NaN, runsAfter = Number.NaN] = after;
  return (rowsAfter - rowsBefore) / (runsAfter - runsBefore);
}
