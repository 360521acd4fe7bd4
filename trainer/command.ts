// Runs a program to its end without a shell. What it says is kept for the error that it may end
// with.
import { spawn } from 'node:child_process';
import { failedPrecondition } from '../common/status.ts';

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** Its working directory. */
  readonly directory: string;
  /** Aborted: the program is killed. */
  readonly signal?: AbortSignal;
}

/** Of stdout and stderr together, the end of it. */
const MAX_OUTPUT_CHARACTERS = 4_096;
const SHOWN_LINES = 5;

/** @throws FAILED_PRECONDITION with the last lines it said; the signal's reason when aborted. */
export function runCommand({ program, args, directory, signal }: Command): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    const stop = () => child.kill('SIGKILL');
    signal?.addEventListener('abort', stop);
    if (signal?.aborted) stop();
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-MAX_OUTPUT_CHARACTERS);
      });
    }
    const over = (problem: string | undefined) => {
      signal?.removeEventListener('abort', stop);
      if (signal?.aborted) reject(signal.reason);
      else if (problem === undefined) resolve();
      else reject(failedPrecondition(`${program} ${args[0] ?? ''} ${problem}`));
    };
    child.once('error', (error) => over(`can't be run: ${error.message}`));
    child.once('close', (code, killedBy) => {
      if (code === 0) return over(undefined);
      const last = output.trim().split('\n').slice(-SHOWN_LINES).join(' | ');
      const how = killedBy === null ? `with exit code ${code}` : `by ${killedBy}`;
      over(`ended ${how}${last === '' ? '' : `: ${last}`}`);
    });
  });
}
