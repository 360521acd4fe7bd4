// One size of cluster around a real Redis: a leader with its planner's thread, a router, and as
// many nodes as asked for. Tells what each role asks of the registry and is told, at rest and after
// a node left or joined, how long it takes until every model is READY at the router again, and what
// the router holds. Run as a process of its own it measures one size (arguments: nodes, models) and
// prints JSON.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Catalog } from '../../catalog/catalog.ts';
import { systemClock as clock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { Leader, SINGLE_PROCESS_TIMING } from '../../control/leader.ts';
import type { PlanReport } from '../../control/planner.ts';
import { PlannerThread } from '../../control/planner-thread.ts';
import { openRegistry } from '../../registry/open.ts';
import { openSqliteDocuments } from '../../stores/documents/sqlite.ts';
import { fillCatalog } from '../support/full-catalog.ts';
import { startRedis, untilTrue } from '../support/redis-server.ts';
import type { ProxyMessage, Traffic } from './counting-proxy.ts';
import type { FleetCommand } from './fleet-child.ts';
import { madeModels } from './made-cluster.ts';
import type { RouterMemory, RouterMessage, RouterState } from './router-child.ts';

export interface Waits {
  /** The cluster at rest is watched so long. */
  readonly restMs: number;
  /** After a change: then nothing is asked any more that it is the cause of. */
  readonly quietMs: number;
}

const WAITS: Waits = { restMs: 10_000, quietMs: 3_000 };
/** Leader, router, all nodes. */
const ROLES = 3;
const TIMEOUT_MS = 240_000;
/** Samples of this thread's processor time: a longer turn of its event loop shows in one. */
const SAMPLE_MS = 2;

export interface ByRole {
  readonly leader: Traffic;
  readonly router: Traffic;
  readonly nodes: Traffic;
}

export interface Change extends ByRole {
  /**
   * Until every copy is READY where the last plan wants it, and the router has one of every model.
   */
  readonly convergedMs: number;
}

export interface ClusterFigures {
  readonly nodes: number;
  readonly models: number;
  readonly start: Change;
  /** Over restMs. */
  readonly rest: ByRole;
  readonly restMs: number;
  readonly leave: Change;
  readonly join: Change;
  readonly router: RouterMemory;
  /** Processor time of the longest turn of the leader's event loop, planning and all. */
  readonly longestTurnMs: number;
}

const log = createLog({ role: 'scale', level: 'warn' });

export async function measureCluster(
  nodes: number,
  models: number,
  waits = WAITS,
): Promise<ClusterFigures> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-scale-'));
  const redis = await startRedis();
  const children: ChildProcess[] = [];
  const start = (program: string, ...args: readonly (string | number)[]): ChildProcess => {
    const path = fileURLToPath(new URL(program, import.meta.url));
    const child = fork(path, args.map(String), { execArgv: ['--expose-gc'] });
    children.push(child);
    return child;
  };
  try {
    const catalog = join(folder, 'catalog.sqlite');
    await fillCatalog(catalog, madeModels(models));
    return await new Run(nodes, models, {
      catalog,
      start,
      redisPort: redis.port,
      ...waits,
    }).measure();
  } finally {
    for (const child of children) child.disconnect();
    await Promise.all(children.map((child) => new Promise((end) => child.once('exit', end))));
    await redis.end();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Parts extends Waits {
  readonly catalog: string;
  readonly redisPort: number;
  start(program: string, ...args: readonly (string | number)[]): ChildProcess;
}

class Run {
  readonly #nodes: number;
  readonly #models: number;
  readonly #parts: Parts;
  #state: RouterState = { nodes: 0, models: 0, isSettled: false };
  #ports: readonly number[] = [];
  #askTraffic: () => Promise<readonly Traffic[]> = async () => [];
  #memory: RouterMemory | undefined;
  #report: PlanReport | undefined;

  constructor(nodes: number, models: number, parts: Parts) {
    this.#nodes = nodes;
    this.#models = models;
    this.#parts = parts;
  }

  async measure(): Promise<ClusterFigures> {
    await this.#startProxies();
    const fleet = await this.#startFleet();
    const router = this.#startRouter();
    await this.#until('the router knows the nodes', () => this.#state.nodes === this.#nodes);
    const { leader, close } = await this.#makeLeader();
    const turns = longestTurn();
    const start = await this.#after(this.#nodes, async () => leader.start());
    const restFrom = await this.#askTraffic();
    await pause(this.#parts.restMs);
    const rest = byRole(await this.#askTraffic(), restFrom);
    const send = (command: FleetCommand) => async () => void fleet.send(command);
    const leave = await this.#after(this.#nodes - 1, send({ leave: Math.floor(this.#nodes / 2) }));
    const joined = await this.#after(this.#nodes, send({ join: this.#nodes }));
    const longestTurnMs = turns();
    router.send('memory');
    await this.#until('the router tells its memory', () => this.#memory !== undefined);
    await close();
    const memory = this.#memory ?? { heapBytes: 0, externalBytes: 0 };
    const sizes = { nodes: this.#nodes, models: this.#models, restMs: this.#parts.restMs };
    return { ...sizes, start, rest, leave, join: joined, router: memory, longestTurnMs };
  }

  #address(role: number): string {
    return `redis://127.0.0.1:${this.#ports[role]}`;
  }

  async #startProxies(): Promise<void> {
    const child = this.#parts.start('./counting-proxy.ts', this.#parts.redisPort, ROLES);
    const next = (): Promise<ProxyMessage> => new Promise((told) => child.once('message', told));
    this.#ports = (await next()).ports ?? [];
    this.#askTraffic = async () => {
      const answer = next();
      child.send('traffic');
      return (await answer).traffic ?? [];
    };
  }

  async #startFleet(): Promise<ChildProcess> {
    const child = this.#parts.start('./fleet-child.ts', this.#address(2), this.#nodes);
    await new Promise<void>((resolve) => child.once('message', () => resolve()));
    return child;
  }

  #startRouter(): ChildProcess {
    const child = this.#parts.start('./router-child.ts', this.#address(1));
    child.on('message', ({ state, memory }: RouterMessage) => {
      if (state !== undefined) this.#state = state;
      if (memory !== undefined) this.#memory = memory;
    });
    return child;
  }

  async #makeLeader(): Promise<{ leader: Leader; close(): Promise<void> }> {
    const address = this.#address(0);
    const registry = openRegistry(address, { clock, log });
    const documents = openSqliteDocuments(this.#parts.catalog);
    const planning = { registry: address, catalog: this.#parts.catalog };
    const leader = new Leader({
      ...{ registry, clock, log, id: 'scale', timing: SINGLE_PROCESS_TIMING },
      catalog: new Catalog(documents),
      onReport: (report) => {
        this.#report = report;
      },
      planner: (parts) =>
        new PlannerThread({
          ...{ ...parts, planning, clock, log },
          onLost: () => log.error('the planner thread was lost'),
        }),
    });
    const close = async (): Promise<void> => {
      await leader.stop();
      await registry.close();
      await documents.close();
    };
    return { leader, close };
  }

  /** Makes a change, and waits until everybody has followed it. */
  async #after(nodes: number, change: () => Promise<void>): Promise<Change> {
    const before = await this.#askTraffic();
    const startMs = performance.now();
    this.#report = undefined;
    await change();
    await this.#until(`${nodes} nodes serve everything`, () => {
      const { state, report } = { state: this.#state, report: this.#report };
      const isThere = state.nodes === nodes && state.models === this.#models && state.isSettled;
      return isThere && report?.nodes === nodes && report.copiesReady >= report.copiesWanted;
    });
    const convergedMs = performance.now() - startMs;
    await pause(this.#parts.quietMs);
    return { convergedMs, ...byRole(await this.#askTraffic(), before) };
  }

  #until(what: string, condition: () => boolean): Promise<void> {
    return untilTrue(what, condition, TIMEOUT_MS);
  }
}

const NO_TRAFFIC: Traffic = { commands: 0, sentBytes: 0, receivedBytes: 0 };

function byRole(after: readonly Traffic[], before: readonly Traffic[]): ByRole {
  const of = (at: number): Traffic => difference(after[at] ?? NO_TRAFFIC, before[at] ?? NO_TRAFFIC);
  return { leader: of(0), router: of(1), nodes: of(2) };
}

function difference(after: Traffic, before: Traffic): Traffic {
  return {
    commands: after.commands - before.commands,
    sentBytes: after.sentBytes - before.sentBytes,
    receivedBytes: after.receivedBytes - before.receivedBytes,
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The function returned ends it, and tells milliseconds. */
function longestTurn(): () => number {
  let longestUs = 0;
  let before = process.threadCpuUsage();
  const timer = setInterval(() => {
    const { user, system } = process.threadCpuUsage(before);
    before = process.threadCpuUsage();
    longestUs = Math.max(longestUs, user + system);
  }, SAMPLE_MS);
  return () => {
    clearInterval(timer);
    return longestUs / 1_000;
  };
}

if (import.meta.main) {
  const [nodes = 10, models = 1_000] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await measureCluster(nodes, models)));
}
