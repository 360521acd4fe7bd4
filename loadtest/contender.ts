// A server under test, as a process of its own that prints 'listening PORT' and ends on SIGTERM.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { unavailable } from '../common/status.ts';

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
/** /proc/PID/stat counts in ticks of 10 ms (sysconf(_SC_CLK_TCK), 100 on Linux). */
const TICK_MS = 10;

export interface Contender {
  readonly name: string;
  readonly port: number;
  /** Processor time used so far, all threads; undefined where /proc is absent. */
  cpuMs(): Promise<number | undefined>;
  stop(): Promise<void>;
}

/** @param script relative to this folder. @throws UNAVAILABLE when it does not come up. */
export async function startContender(
  name: string,
  script: string,
  args: readonly string[] = [],
): Promise<Contender> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await listening(name, child);
  return {
    name,
    port,
    cpuMs: () => cpuMs(child.pid),
    stop: () => stop(child),
  };
}

function listening(name: string, child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail('time is up');
    }, START_TIMEOUT_MS);
    const fail = (why: string): void => {
      clearTimeout(timer);
      reject(unavailable(`${name} did not start: ${why}`));
    };
    child.once('exit', (code) => fail(`it ended with ${code}`));
    if (child.stdout === null) return fail('it has no output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /^listening (\d+)$/.exec(line);
      if (found === null) return;
      clearTimeout(timer);
      resolve(Number(found[1]));
    });
  });
}

async function cpuMs(pid: number | undefined): Promise<number | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return undefined;
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}
