// Real Redis servers for tests (Valkey, or Redis where that is installed): on free ports of
// loopback, with a folder of their own, ended with the test.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { outsideTool } from './outside-tools.ts';

/** Generous: tests run beside each other on a busy machine. */
const START_TIMEOUT_MS = 30_000;
const START_ATTEMPTS = 5;
const POLL_MS = 10;
const HOST = '127.0.0.1';

export const NO_REDIS = 'no valkey-server or redis-server (scripts/ci-setup installs one)';

/** undefined: there is none on this machine. */
export function redisProgram(): string | undefined {
  const cached = outsideTool('bin/valkey-server');
  if (cached !== undefined) return cached;
  const folders = (process.env.PATH ?? '').split(delimiter);
  return ['valkey-server', 'redis-server']
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => existsSync(path));
}

export interface RedisServer {
  readonly port: number;
  readonly pid: number;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
  /** Starts it again on the same port and folder, with these arguments more. */
  start(more?: readonly string[]): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  pause(): void;
  resume(): void;
  /** One command on a connection of its own: its answer as text, '+OK' or '-ERR ...'. */
  ask(...command: readonly string[]): Promise<string>;
  /** Ends it and removes its folder. */
  end(): Promise<void>;
}

const running = new Set<ChildProcess>();

/** No server outlives the test run, also when that is cut short. */
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
process.once('SIGTERM', () => process.exit(1));

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Looks now and then until it is so; what throws is not so yet. @throws after timeoutMs */
export async function untilTrue(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = START_TIMEOUT_MS,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endMs) {
      throw new Error(`not so within ${timeoutMs} ms: ${what}`, { cause: last });
    }
    await pause(POLL_MS);
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, HOST, () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** Sends one command as an array of strings (RESP) and returns what comes first. */
export function askRedis(port: number, command: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: HOST });
    let text = '';
    socket.setTimeout(START_TIMEOUT_MS, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`no answer to ${command[0]}`)));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const end = endOfReply(text);
      if (end === undefined) return;
      resolve(text.slice(0, end).trimEnd());
      socket.destroy();
    });
    const parts = command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
    socket.write(`*${command.length}\r\n${parts.join('')}`);
  });
}

/** Where a status, error, number or string ends; a list's first line is enough for tests. */
function endOfReply(text: string): number | undefined {
  const line = text.indexOf('\r\n');
  if (line < 0) return undefined;
  if (!text.startsWith('$')) return line;
  const end = line + 2 + Number(text.slice(1, line));
  return text.length >= end ? end : undefined;
}

export interface RedisOptions {
  readonly args?: readonly string[];
  /** Its configuration: a Sentinel is started. */
  readonly sentinel?: string;
}

/** @throws when there is no such program, or it does not start */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-redis-'));
  let last: unknown;
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt += 1) {
    const port = await freePort();
    try {
      const first = await spawnServer(folder, port, options, []);
      return serverOf(folder, port, options, first);
    } catch (error) {
      // Another program may have taken the port meanwhile.
      last = error;
    }
  }
  await rm(folder, { recursive: true, force: true });
  throw last;
}

async function spawnServer(
  folder: string,
  port: number,
  { args = [], sentinel }: RedisOptions,
  more: readonly string[],
): Promise<ChildProcess> {
  const program = redisProgram();
  if (program === undefined) throw new Error(NO_REDIS);
  const config = join(folder, 'sentinel.conf');
  if (sentinel !== undefined) await writeFile(config, sentinel);
  const all = [
    ...(sentinel === undefined ? ['--save', ''] : [config, '--sentinel']),
    ...['--bind', HOST, '--port', String(port), '--dir', folder],
    ...args,
    ...more,
  ];
  const child = spawn(program, all, { stdio: ['ignore', 'pipe', 'pipe'], cwd: folder });
  running.add(child);
  let said = '';
  const take = (chunk: Buffer): void => {
    if (said.length < 65_536) said += chunk.toString();
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const gone = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      running.delete(child);
      reject(new Error(`${program} ended with ${code}: ${said.slice(-2_000)}`));
    });
  });
  const isUp = async (): Promise<boolean> => {
    const answer = await askRedis(port, ['PING']);
    return /^(\+PONG|-NOAUTH|-LOADING|-MASTERDOWN)/.test(answer);
  };
  try {
    await Promise.race([untilTrue('the server answers', isUp), gone]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  gone.catch(() => {});
  return child;
}

function serverOf(
  folder: string,
  port: number,
  options: RedisOptions,
  first: ChildProcess,
): RedisServer {
  let child = first;
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const over = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await over;
  };
  return {
    port,
    get pid() {
      return child.pid ?? 0;
    },
    kill,
    async start(more = []) {
      child = await spawnServer(folder, port, options, more);
    },
    pause: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT'),
    ask: (...command) => askRedis(port, command),
    async end() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
