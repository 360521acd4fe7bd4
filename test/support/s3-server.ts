// A real S3 service on a free port of loopback, over a folder, for tests: versitygw, which
// scripts/ci-setup builds.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outsideTool } from './outside-tools.ts';
import { freePort } from './redis-server.ts';

const START_TIMEOUT_MS = 60_000;
const CREDENTIALS = { accessKeyId: 'torus-test', secretAccessKey: 'torus-test-secret' } as const;

export interface S3Server {
  readonly port: number;
  readonly endpoint: string;
  readonly credentials: typeof CREDENTIALS;
  /** The same, as a process of ours finds them. */
  readonly environment: Readonly<Record<string, string>>;
  /** A new bucket's name. */
  bucket(): Promise<string>;
  /** Kills it; what it has is kept. */
  stop(): Promise<void>;
  /** On the same port, with what it had. */
  start(): Promise<void>;
  end(): Promise<void>;
}

const program = (): string | undefined => outsideTool('bin/versitygw');
export const hasS3 = program() !== undefined;

export async function startS3(): Promise<S3Server> {
  const server = new Server(await mkdtemp(join(tmpdir(), 'torus-s3-')), await freePort());
  await server.start();
  return server;
}

class Server implements S3Server {
  readonly #folder: string;
  readonly port: number;
  readonly credentials = CREDENTIALS;
  readonly environment = {
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  };
  #child: ChildProcess | undefined;
  #buckets = 0;
  readonly #onExit = (): void => void this.#child?.kill('SIGKILL');

  constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const path = program();
    if (path === undefined) throw new Error('versitygw is not installed: run scripts/ci-setup');
    const data = join(this.#folder, 'data');
    await mkdir(data, { recursive: true });
    const env = {
      ...process.env,
      ROOT_ACCESS_KEY: CREDENTIALS.accessKeyId,
      ROOT_SECRET_KEY: CREDENTIALS.secretAccessKey,
    };
    const args = ['--port', `127.0.0.1:${this.port}`, '--quiet', 'posix', data];
    const child = spawn(path, args, { env, cwd: this.#folder, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    process.once('exit', this.#onExit);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk;
      });
    }
    const untilMs = performance.now() + START_TIMEOUT_MS;
    while (!(await this.#answers())) {
      if (child.exitCode !== null || performance.now() > untilMs) {
        throw new Error(`versitygw did not start: ${output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #answers(): Promise<boolean> {
    try {
      await (await fetch(this.endpoint)).text();
      return true;
    } catch {
      return false;
    }
  }

  /** A folder of the service's folder is a bucket. */
  async bucket(): Promise<string> {
    this.#buckets += 1;
    const name = `torus-test-${this.#buckets}`;
    await mkdir(join(this.#folder, 'data', name));
    return name;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    process.off('exit', this.#onExit);
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async end(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
