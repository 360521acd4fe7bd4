// A node's process: the product's copies, versions, assignment and answers over simulated files and
// engines. What it tells the registry of itself must be so when it tells it.
import { Code, StatusError, unavailable } from '../../common/status.ts';
import type { NodeRecord } from '../../registry/registry.ts';
import { Copies, type FetchCopy } from '../../server/copies.ts';
import type { Markers } from '../../server/engines/marker.ts';
import type { loadVersion, VersionFiles } from '../../server/load-version.ts';
import { ModelTable } from '../../server/model-table.ts';
import { type AssignmentFile, RegistrySource } from '../../server/registry-source.ts';
import { ModelInfer } from '../../server/services/infer.ts';
import { StatisticsBook } from '../../server/statistics.ts';
import { VERSION_LIMITS, type Wanted } from '../../server/versions.ts';
import type { UnaryCall } from '../../transport/backend.ts';
import type { Listening } from './connection.ts';
import { Engine, filesOf, servedOf } from './engine.ts';
import type { Life, Machine } from './machine.ts';
import type { NodeChecks } from './node-checks.ts';
import type { Random } from './random.ts';
import { RegistryClient } from './registry-client.ts';
import { WatchedAssignment } from './watched-assignment.ts';
import type { World } from './world.ts';

/** As HANDOVER_MS of cli/roles/node.ts, and what server/node.ts does with it. */
const HANDOVER_MS = 15_000;
const HANDOVER_LOOK_MS = 50;
const DRAIN_SETTLE_MS = 1_000;
const DRAIN_TIMEOUT_MS = 30_000;
const ASSIGNMENT_FILE = 'assignment.json';
const BLOBS = 'blobs';
const DOWNLOAD_TIMEOUT_MS = 5_000;
const NO_MARKERS: Markers = {
  reasonFor: () => undefined,
  arm: async () => {},
  armNow: () => {},
  disarm: async () => {},
  deaths: () => [],
  clear: async () => {},
};

interface Running {
  readonly life: Life;
  readonly copies: Copies;
  readonly source: RegistrySource;
  readonly engines: Set<Engine>;
  take(call: UnaryCall): void;
  isClosed: boolean;
}

export class SimulatedNode implements Listening {
  readonly id: string;
  readonly machine: Machine;
  readonly #world: World;
  readonly #random: Random;
  readonly #checks: NodeChecks;
  #starts = 0;
  #running: Running | undefined;
  isDraining = false;

  constructor(world: World, id: string, random: Random, checks: NodeChecks) {
    this.id = id;
    this.machine = world.machine(id);
    this.#world = world;
    this.#random = random;
    this.#checks = checks;
  }

  get serving(): Listening['serving'] {
    return this.#running;
  }

  get engines(): ReadonlySet<Engine> {
    return this.#running?.engines ?? new Set();
  }

  answeredTwice(): void {
    this.#world.checks.breach('answered_once', `${this.id} answered a call twice`);
  }

  start(): void {
    const life = this.machine.begin();
    this.isDraining = false;
    this.#starts += 1;
    const world = this.#world;
    const engines = new Set<Engine>();
    const { clock, log } = { clock: life, log: world.log(this.id) };
    const table = new ModelTable();
    const book = new StatisticsBook(() => 0);
    let onChange = (): void => {};
    const copies = new Copies({
      ...{ table, clock, log, sideThreads: undefined, lingerMs: VERSION_LIMITS.lingerMs },
      fetch: (copy) => this.#fetch(life, copy),
      load: { loadModel: neverAsked, book, clock, quarantine: NO_MARKERS },
      loadVersion: this.#loads(life, engines),
      onChange: () => onChange(),
      onHung: () => {},
    });
    const registry = new RegistryClient(world.registry, world.network, life, {
      putsCopies: (records) => this.#checks.tells(this, records),
    });
    const node: Omit<NodeRecord, 'schema' | 'state'> = {
      id: this.id,
      incarnation: `${this.id}-${this.#starts}`,
      address: this.id,
      zone: '',
      memoryLimitBytes: 0,
    };
    const source = new RegistrySource({
      ...{ node, clock, log, file: this.#file(life) },
      registry: world.planted.nodeRegistry?.(registry) ?? registry,
      copies: this.#watched(copies),
      assignment: new WatchedAssignment({
        nodeId: this.id,
        takesAny: world.planted.nodeTakesAnyShard === true,
        onTaken: (before, now) => this.#checks.takes(this, before, now),
      }),
    });
    onChange = () => source.onChange();
    const infer = new ModelInfer(table, () => life.nowMs());
    const running: Running = {
      ...{ life, copies, source, engines, isClosed: false },
      take: (call) => {
        const taken = world.planted.nodeCall?.(call) ?? call;
        if (running.isClosed) taken.fail(unavailable('this node has stopped: try another one'));
        else infer.unary(taken);
      },
    };
    this.#running = running;
    world.trace.note(this.id, 'starts');
    void source.start();
  }

  /** The process ends at once. */
  kill(): void {
    this.#world.trace.note(this.id, 'killed');
    this.#checks.ended(this);
    this.machine.end();
    this.#running = undefined;
  }

  /** SIGTERM: as server/node.ts drains, then stops; the process ends with it. */
  async drain(): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.isDraining) return;
    this.#world.trace.note(this.id, 'drains');
    this.isDraining = true;
    const { life, copies, source } = running;
    const startMs = life.nowMs();
    await source.drain();
    const pause = (delayMs: number): Promise<void> =>
      new Promise((resolve) => life.after(delayMs, resolve));
    const holds = (): boolean => copies.statuses().some(({ state }) => state === 'READY');
    while (holds() && life.nowMs() - startMs < HANDOVER_MS) await pause(HANDOVER_LOOK_MS);
    await pause(DRAIN_SETTLE_MS);
    while (copies.inFlight > 0 && life.nowMs() - startMs < DRAIN_TIMEOUT_MS) await pause(20);
    running.isClosed = true;
    await source.stop();
    await copies.stop();
    if (this.#running === running) this.kill();
  }

  #watched(copies: Copies): Pick<Copies, 'want' | 'statuses' | 'records'> {
    const { planted } = this.#world;
    return {
      want: (wanted: readonly Wanted[]) => {
        this.#checks.wants(this, wanted);
        copies.want(planted.wanted?.(wanted) ?? wanted);
      },
      statuses: () => copies.statuses(),
      records: () => copies.records(),
    };
  }

  #loads(life: Life, engines: Set<Engine>): typeof loadVersion {
    return async (files, options) => {
      await passes(life, this.#random.between(20, 400));
      const engine = new Engine(files, {
        life,
        runMs: () => this.#random.between(0.5, 30),
        onRun: (number) => this.#checks.runs(this, engine, number),
        onStop: (stopped) => {
          engines.delete(stopped);
          this.#checks.unloads(this, stopped);
        },
      });
      engines.add(engine);
      this.#checks.loads(this, engine);
      return servedOf(engine, options);
    };
  }

  #fetch(life: Life, { model, version, manifestSha256 }: Parameters<FetchCopy>[0]) {
    const { disk } = this.machine;
    const key = `blob ${this.#world.planted.cacheKey?.(model, manifestSha256) ?? manifestSha256}`;
    const read = passes(life, this.machine.diskDelayMs);
    const files = (): VersionFiles => filesOf(model, version, disk.get(key) ?? manifestSha256);
    if (disk.has(key)) return read.then(files);
    return this.#download(life).then(async () => {
      await read;
      disk.set(key, manifestSha256);
      return files();
    });
  }

  #download(life: Life): Promise<void> {
    const { network } = this.#world;
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new StatusError(Code.UNAVAILABLE, 'no blob in time'));
      const cancel = life.after(DOWNLOAD_TIMEOUT_MS, late);
      network.send(this.id, BLOBS, () => {
        if (this.#world.isBlobsDown) return;
        network.send(BLOBS, this.id, () => {
          life.arrive(() => {
            cancel();
            resolve();
          });
        });
      });
    });
  }

  #file(life: Life): AssignmentFile {
    const { machine } = this;
    return {
      read: async () => {
        await passes(life, machine.diskDelayMs);
        return machine.disk.get(ASSIGNMENT_FILE);
      },
      write: async (text) => {
        await passes(life, machine.diskDelayMs);
        machine.disk.set(ASSIGNMENT_FILE, text);
      },
    };
  }
}

/** Never when the process ends before. */
export function passes(life: Life, durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    life.after(durationMs, resolve);
  });
}

function neverAsked(): Promise<never> {
  throw new Error('versions are loaded without files here');
}
