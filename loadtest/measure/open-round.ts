// One round of open-loop load on a server, from a process of its own on the clients' core; the
// server's count of successes must be the generator's.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Code, StatusError } from '../../common/status.ts';
import { nodeScript } from '../contender.ts';
import type { OpenLoopReport } from '../open-loop.ts';
import type { Side } from './side.ts';

/** As the closed loops have. */
const CONNECTIONS = 4;
/** A generator in JavaScript gets fast while it runs, and not with a few calls. */
const WARM_UP_CALLS_PER_SECOND = 20_000;
const WARM_UP_SECONDS = 1;
/** A young generation, in MiB, that is seldom full: collecting it makes calls late. */
const GENERATOR_FLAGS = ['--min-semi-space-size=64', '--max-semi-space-size=64'];

/** 'UNAVAILABLE 3, not sent 5'; undefined when all went well. */
export function errorsText(reports: readonly OpenLoopReport[]): string | undefined {
  const counts = new Map<string, number>();
  const add = (what: string, count: number): void => {
    if (count > 0) counts.set(what, (counts.get(what) ?? 0) + count);
  };
  for (const { failed, dropped, lost } of reports) {
    for (const [code, count] of Object.entries(failed)) add(code, count);
    add('not sent', dropped);
    add('without an answer', lost);
  }
  if (counts.size === 0) return undefined;
  return [...counts].map(([what, count]) => `${what} ${count}`).join(', ');
}

export interface OpenRound {
  readonly clientCore: number;
  readonly callsPerSecond: number;
  readonly seconds: number;
  readonly connections?: number;
  /** Before what is reported. */
  readonly warmUpCallsPerSecond?: number;
  /** Servers run on the clients' core too: the generator leaves it to them between calls. */
  readonly isCoreShared?: boolean;
}

/** @throws INTERNAL when the server counts other than the generator. */
export async function runOpenRound(
  side: Side,
  round: OpenRound,
): Promise<OpenLoopReport & { readonly warmUpSeconds: number }> {
  const { name, contender, path, bodyFile } = side;
  const { clientCore, callsPerSecond, seconds, connections = CONNECTIONS } = round;
  const { warmUpCallsPerSecond = WARM_UP_CALLS_PER_SECOND, isCoreShared = false } = round;
  const warmUpSeconds = Math.min(WARM_UP_SECONDS, seconds);
  const warmUp = [warmUpCallsPerSecond, warmUpSeconds];
  const numbers = [callsPerSecond, seconds, connections, ...warmUp].map(String);
  const args = [String(contender.port), path, bodyFile, ...numbers];
  if (isCoreShared) args.push('shared');
  const [node = '', ...script] = nodeScript('open-loop.ts', args);
  const pinned = ['-c', String(clientCore), node, ...GENERATOR_FLAGS, ...script];
  const before = await side.calls();
  const { stdout } = await promisify(execFile)('taskset', pinned);
  const report = JSON.parse(stdout) as OpenLoopReport;
  const [counted, seen] = [(await side.calls()) - before, report.ok + report.warmUpOk];
  if (counted !== seen && report.lost === 0) {
    const counts = `the server answered ${counted} calls, the client saw ${seen}`;
    throw new StatusError(Code.INTERNAL, `${name}: ${counts}`);
  }
  return { ...report, warmUpSeconds };
}
