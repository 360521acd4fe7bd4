// A real `torus up` as a child process on free ports and a folder of its own, for tests of the
// whole.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Generous: tests run beside each other on a busy machine. Promises of speed are tested apart. */
const START_TIMEOUT_MS = 60_000;
const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const FREE_PORTS = ['grpc', 'http', 'metrics', 'admin', 'blob', 'node'].flatMap((name) => [
  `--${name}-port`,
  '0',
]);

const ROLE_PORTS: Readonly<Record<string, readonly string[]>> = {
  router: ['grpc'],
  control: ['admin', 'blob'],
  gateway: ['http'],
};

export interface TorusProcess extends ServerProcess {
  readonly http: string;
  readonly grpc: string;
  readonly metrics: string;
  readonly admin: string;
}

export interface ServerProcess {
  readonly pid: number;
  /** Milliseconds from spawn to the ready line. */
  readonly readyMs: number;
  stdout(): string;
  stderr(): string;
  /** Waits until stdout has the text. @throws when the process ends first or time is up. */
  sees(text: string | RegExp, timeoutMs?: number): Promise<void>;
  /** Its exit code once it has ended, by itself or not; null after a signal's end. */
  readonly ended: Promise<number | null>;
  /** Sends a signal and waits for the end; returns the exit code, null after a signal's end. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export interface StartOptions {
  readonly data: string;
  readonly flags?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const running = new Set<ChildProcess>();
let isGuarded = false;

/** No process outlives the test run, also when that is cut short. */
function endWithUs(child: ChildProcess): void {
  if (!isGuarded) {
    isGuarded = true;
    process.once('exit', () => {
      for (const one of running) one.kill('SIGKILL');
    });
    process.once('SIGTERM', () => process.exit(1));
  }
  running.add(child);
  child.once('exit', () => running.delete(child));
}

type Variables = Readonly<Record<string, string>>;

const environment = (more: Variables = {}): NodeJS.ProcessEnv => {
  const rest = Object.entries(process.env).filter(([name]) => !name.startsWith('TORUS_'));
  return { ...Object.fromEntries(rest), ...more };
};

/** Runs a command of the CLI to its end. */
export async function torus(args: readonly string[], input?: string): Promise<Exit> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: environment() });
  endWithUs(child);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin.end(input ?? '');
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

export async function startTorus(options: StartOptions): Promise<TorusProcess> {
  const args = ['up', '--data', options.data, ...FREE_PORTS, ...(options.flags ?? [])];
  const { at, ...rest } = await startServer('torus ready', args);
  const { http = '', grpc = '', metrics = '', admin = '' } = at;
  return { ...rest, http, grpc, metrics, admin };
}

/** One role in a process of its own. */
export interface RoleProcess extends ServerProcess {
  /** Of its ready line: 'grpc', 'metrics', ... */
  readonly at: Readonly<Record<string, string>>;
}

/**
 * @param flags all of them; ports that are not named are free ones
 * @param main the program, of another checkout
 * @param env besides this process' own
 */
export async function startRole(
  role: string,
  flags: readonly string[],
  main = MAIN,
  env: Variables = {},
): Promise<RoleProcess> {
  const ports = (ROLE_PORTS[role] ?? []).flatMap((name) => [`--${name}-port`, '0']);
  const args = [role, ...ports, '--metrics-port', '0', ...flags];
  return await startServer(`torus ${role} ready`, args, main, env);
}

/** @param ready how its ready line begins */
async function startServer(
  ready: string,
  args: readonly string[],
  main = MAIN,
  env: Variables = {},
): Promise<RoleProcess> {
  const startMs = performance.now();
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment(env),
  });
  endWithUs(child);
  const output = new Output(child);
  await output.sees(new RegExp(`^${ready} .*\\n`, 'm'), START_TIMEOUT_MS);
  const readyMs = performance.now() - startMs;
  const line = new RegExp(`^${ready} (.*)$`, 'm').exec(output.stdout)?.[1] ?? '';
  return {
    pid: child.pid ?? 0,
    at: Object.fromEntries(line.split(' ').map((part) => part.split('='))),
    readyMs,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    ended: output.ended,
    sees: (text, timeoutMs = START_TIMEOUT_MS) => output.sees(text, timeoutMs),
    end: async (signal) => {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      child.kill(signal);
      return await output.ended;
    },
  };
}

class Output {
  stdout = '';
  stderr = '';
  readonly ended: Promise<number | null>;
  #isOver = false;
  #onChange: (() => void) | undefined;

  constructor(child: ChildProcess) {
    child.stdout?.on('data', (chunk) => {
      this.stdout += chunk;
      this.#onChange?.();
    });
    child.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.ended = new Promise((resolve) => {
      child.once('close', (code) => {
        this.#isOver = true;
        this.#onChange?.();
        resolve(code);
      });
    });
  }

  sees(text: string | RegExp, timeoutMs: number): Promise<void> {
    const isThere = (): boolean =>
      typeof text === 'string' ? this.stdout.includes(text) : text.test(this.stdout);
    return new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        clearTimeout(timer);
        this.#onChange = undefined;
        end();
      };
      const fail = (why: string): void =>
        settle(() => reject(new Error(`${why}: ${text}\n${this.stdout}\n${this.stderr}`)));
      const timer = setTimeout(() => fail(`not seen in ${timeoutMs} ms`), timeoutMs);
      const look = (): void => {
        if (isThere()) settle(resolve);
        else if (this.#isOver) fail('ended without');
      };
      this.#onChange = look;
      look();
    });
  }
}

interface Teardown {
  teardown(fn: () => Promise<void>): void;
}

/** A folder that goes with the test; processes of the test are ended before. */
export async function dataFolder(t: Teardown): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'torus-test-'));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return join(made, 'data');
}
